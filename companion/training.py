"""Fit and evaluate, by the same call on a CPU, a GPU or several processes (`accelerate launch`).

An epoch is the unit of everything that can be interrupted: its order, its data and its noise come
from (seed, epoch) alone, and a checkpoint is written when it ends. A run that is killed anywhere
goes on from its last whole epoch and ends with the weights of an unbroken one.

Several processes share each batch of training, whatever its size, and the gradient is that of the whole
batch. Whole batches of a test set are dealt to them, each with noise of its own, so that the number of
processes changes no score.
"""

import json
import math
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    convert_outputs_to_fp32,
    gather_object,
    send_to_device,
)
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler
from tqdm import tqdm

from companion.files import DamagedFile, fingerprint, write_whole

Step = Callable[[nn.Module, Any], Tensor]
Score = Callable[[nn.Module, Any], dict[str, Tensor]]
PRECISIONS = ("f32", "bf16")
ADAM = ("step", "exp_avg", "exp_avg_sq")  # what the optimizer keeps of a weight
DAMAGE = (SafetensorError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
Model = TypeVar("Model", bound=nn.Module)


@runtime_checkable
class Samples(Protocol):
    """A data set that is read in batches."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: list[int]) -> Any: ...


class Scores(NamedTuple):
    """What a model reaches on a test set."""

    metrics: dict[str, float]
    counts: dict[str, tuple[int, int]] = {}  # of metrics that are percentages: how many of how many
    units: dict[str, Float[np.ndarray, " U"]] = {}  # mean over each unit of the test set, NaN where undefined
    ids: Sequence[str] = ()  # of the units


@dataclass(frozen=True)
class Experiment:
    """One run, lazy in everything: whether its record stands is known before a part of it is called.

    Args:
        data: fingerprints of all that it reads, by name.
        read: reads what lies on disk and trains nothing; of several processes the main one does it first.
        train, test: give the two sides of the protocol, once what they build on is trained.
        build: makes the model; called after seeding.
        params: `fit` holds options of `fit`; `precision` is f32 unless it says bf16. The record keeps them.
        loss: what `fit` lowers, called as loss(model, batch).
        score: one row a sample, called as score(model, batch).
        units: metrics whose score per unit of the test set is kept.
    """

    data: Callable[[], dict[str, str]]
    read: Callable[[], Any]
    train: Callable[[], Any]
    test: Callable[[], Any]
    build: Callable[[], Any]
    params: dict
    loss: Callable[..., Any]
    score: Callable[..., Any]
    units: Sequence[str] = ()

    def learn(self, seed: int, checkpoint: Path) -> tuple[Any, list[float]]:
        """The trained model, and the mean loss of each epoch."""
        data = self.train()
        seed_everything(seed)
        model = self.build()
        options = {"precision": self.params.get("precision", "f32")} | self.params["fit"]
        schedule = getattr(model, "anneal", None)
        losses = fit(model, data, self.loss, seed=seed, schedule=schedule, checkpoint=checkpoint, **options)
        return model.eval(), losses

    def load(self, seed: int, checkpoint: Path) -> tuple[Any, list[float]]:
        """What `learn` has left behind: the model, and the losses of the epochs that it has seen."""
        self.train()  # what several models share is made before the seed counts
        seed_everything(seed)
        model = self.build()
        losses = load_checkpoint(checkpoint, model)
        if hasattr(model, "anneal"):
            model.anneal(1.0)
        return model.eval(), losses

    def weights(self, model: Any) -> str:
        """Fingerprint of a model's weights."""
        return weights_fingerprint(model)

    def evaluate(self, model: Any, seed: int) -> Scores:
        """The scores on the test set."""
        test = self.test()
        return summary(evaluate(model, test, self.score, seed=seed), test.units, self.units)


def seed_everything(*seed: int) -> None:
    """Seed Python and torch from whole numbers; allow deterministic kernels only, and f32 that is no TF32."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    value = int(np.random.SeedSequence(seed).generate_state(1)[0])
    random.seed(value)
    torch.manual_seed(value)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False


def accelerator() -> Accelerator:
    """This process's devices.

    Raises:
        ValueError: the launcher asks for a precision, which is a number of the preset.
    """
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked != "no":
        raise ValueError(
            f"the launcher asks for mixed precision {asked!r}; launch with --mixed_precision no,"
            " and write precision: bf16 into the preset"
        )
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a stage of a training rests some
    return Accelerator(mixed_precision="no", kwargs_handlers=[unused])


class Share(BatchSampler):
    """The part of each batch that falls to one of several processes.

    Args:
        order: draws the order of an epoch; equal in all processes.
    """

    def __init__(self, samples: int, batch_size: int, order: torch.Generator, process: int, of: int) -> None:
        super().__init__(RandomSampler(range(samples), generator=order), batch_size, samples >= batch_size)
        self.process, self.of = process, of
        self.whole = min(samples, batch_size)  # of a batch: what is left of an epoch is dropped

    def __iter__(self) -> Iterator[list[int]]:
        for batch in super().__iter__():
            yield batch[self.process :: self.of] or batch[:1]  # with weight 0

    def weight(self) -> float:
        """Of this process's mean loss, so that the mean over processes is that of the whole batch."""
        mine = len(range(self.process, self.whole, self.of))
        return mine * self.of / self.whole


@contextmanager
def computing(model: nn.Module, precision: str) -> Iterator[None]:
    """While this lasts, products of the model are computed in this precision; it gives f32."""
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    forward = model.forward
    if precision == "bf16":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model.forward = convert_outputs_to_fp32(torch.autocast(device, torch.bfloat16)(forward))
    try:
        yield
    finally:
        model.__dict__.pop("forward", None)


def fit(
    model: nn.Module,
    data: Samples,
    loss: Step,
    *,
    epochs: int,
    lr: float,
    batch_size: int = 128,
    weight_decay: float = 0.0,
    clip: float = 5.0,
    warmup: float = 0.05,
    factors: dict[str, float] | None = None,
    schedule: Callable[[float], None] | None = None,
    precision: str = "f32",
    seed: int = 0,
    checkpoint: str | Path | None = None,
) -> list[float]:
    """Train in place with AdamW, a linear warm-up and a cosine to zero; the mean loss of each epoch.

    The model ends on the CPU, as `evaluate` leaves it too.

    Args:
        data: `__getitems__(indices)` gives a batch; `set_epoch(epoch)`, if there, draws it anew.
        loss: called as loss(model, batch), gives a scalar.
        batch_size: over all processes together; a smaller data set is one batch.
        clip: largest norm of the gradient.
        factors: of the rate, for the parameters whose names begin so: {"locate": 0.1}.
        schedule: called before each epoch, and at the end, with the share of the epochs that is done.
        warmup: share of the steps in which the rate rises.
        precision: of the model's products: f32, or bf16, which GPUs and CPUs with avx512_bf16 have.
        checkpoint: safetensors file to go on from and to write after each epoch; a finished one
            is loaded and nothing is trained.

    Raises:
        ValueError: the checkpoint is damaged or belongs to another model; an unknown precision.
    """
    device = accelerator()
    order = torch.Generator()
    share = Share(len(data), batch_size, order, device.process_index, device.num_processes)
    batches = DataLoader(
        cast(Dataset, data), batch_sampler=share, collate_fn=lambda batch: batch, generator=order
    )
    draw = getattr(data, "set_epoch", None)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, value in model.named_parameters():
        factor = math.prod(f for start, f in (factors or {}).items() if name.startswith(start))
        groups.setdefault(factor, []).append(value)
    optimizer = torch.optim.AdamW(
        [{"params": values, "factor": factor} for factor, values in groups.items()],
        lr,
        weight_decay=weight_decay,
        fused=True,
    )
    losses = load_checkpoint(checkpoint, model, optimizer) if checkpoint and Path(checkpoint).exists() else []
    if len(losses) >= epochs:
        if schedule:
            schedule(1.0)
        return losses
    with computing(model, precision):
        trained, optimizer = device.prepare(model, optimizer)
        steps, step = epochs * len(share), len(losses) * len(share)
        trained.train()
        bar = tqdm(total=steps, initial=step, unit="step", leave=False, disable=not watched())
        for epoch in range(len(losses), epochs):
            order.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
            seed_everything(seed, epoch, device.process_index)
            if draw:
                draw(epoch)
            if schedule:
                schedule(epoch / epochs)
            total = torch.zeros((), device=device.device)
            for batch in batches:
                rate = lr * min(1, (step + 1) / max(1, warmup * steps))
                rate *= (1 + math.cos(math.pi * step / steps)) / 2
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["factor"]
                value = share.weight() * loss(trained, send_to_device(batch, device.device))
                optimizer.zero_grad()
                device.backward(value)
                device.clip_grad_norm_(trained.parameters(), clip)
                optimizer.step()
                total = total + value.detach()
                step += 1
                bar.update()
            mean = device.reduce(total, "mean")
            losses.append(mean.item() / len(share))  # pyright: ignore[reportAttributeAccessIssue]: a tensor
            bar.set_postfix(epoch=epoch + 1, loss=f"{losses[-1]:.3f}")
            if checkpoint and device.is_main_process:
                save_checkpoint(checkpoint, model, None if epoch + 1 == epochs else optimizer, losses)
        if schedule:
            schedule(1.0)
        bar.close()
    model.cpu()
    return losses


@torch.no_grad()
def evaluate(
    model: nn.Module, data: Samples, score: Score, *, batch_size: int = 500, seed: int = 0
) -> dict[str, np.ndarray]:
    """One row a sample: `score(model, batch)` gives name -> tensor of B values, computed in f32.

    Batches are of nearly equal sizes, so that no sample is scored alone where a score compares samples.
    The noise of a stochastic model comes from `seed` and the batch; the batch size changes it, so keep it.
    """
    device = accelerator()
    model = model.to(device.device).eval()
    parts = np.array_split(np.arange(len(data)), max(1, -(-len(data) // batch_size)))
    found: list[tuple[int, dict[str, Tensor]]] = []
    for number in range(device.process_index, len(parts), device.num_processes):
        seed_everything(seed, number)
        batch = send_to_device(data.__getitems__(parts[number].tolist()), device.device)
        found.append((number, {name: v.float().cpu() for name, v in score(model, batch).items()}))
    model.cpu()
    rows = [row for _, row in sorted(gather_object(found), key=lambda pair: pair[0])]
    names = {name: None for row in rows for name in row}
    return {name: torch.cat([row[name] for row in rows]).numpy() for name in names}


def summary(rows: dict[str, np.ndarray], units: Sequence[str], kept: Sequence[str]) -> Scores:
    """The mean of each column of `evaluate`; a sample for which a score is not defined has NaN and no say.

    Args:
        units: of each sample, what it is a part of.
        kept: the columns whose mean over each unit is kept.
    """
    metrics: dict[str, float] = {}
    counts = {}
    for name, values in rows.items():
        values = values[~np.isnan(values)].astype(float)
        if len(values):
            metrics[name] = round(float(values.mean()), 4)
            if np.isin(values, (0.0, 100.0)).all():
                counts[name] = int((values == 100).sum()), len(values)
    ids, place = np.unique(np.array(units), return_inverse=True)
    means = {}
    for name in [name for name in kept if name in rows]:
        there = ~np.isnan(rows[name])
        number = np.bincount(place[there], minlength=len(ids))
        total = np.bincount(place[there], rows[name][there], len(ids))
        means[name] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return Scores(metrics | {"n_test": len(place)}, counts, means, ids.tolist())


def in_precision(whole: dict, part: dict) -> dict:
    """The params of a part, trained in the precision of the whole unless they say another one."""
    return {"precision": whole.get("precision", "f32")} | part


def pretrained(
    build: Callable[[], Model], params: dict, data: Samples, loss: Step, *, seed: int, checkpoint: Path
) -> Model:
    """What several runs build on, ready to rest: trained once on this machine, and kept as a checkpoint.

    Args:
        params: with the options of `fit` under "fit"; without them it is ready when it is built.
    """
    seed_everything(seed)
    model = build()
    if "fit" in params:
        options = {"precision": params.get("precision", "f32")} | params["fit"]
        fit(model, data, loss, seed=seed, checkpoint=checkpoint, **options)
    return model.eval()


def from_pretrained(build: Callable[[], Model], trained: nn.Module, head: str = "classify") -> Model:
    """A model that begins with the weights of one trained on other classes, all but the head's.

    Raises:
        ValueError: no weight's name begins with `head`, or other weights differ in name or shape.
    """
    model, known = build(), trained.state_dict()
    own = model.state_dict()
    taken = {name: value for name, value in known.items() if not name.startswith(head)}
    if len(taken) == len(known):
        raise ValueError(f"{type(trained).__name__} has no weights {head}.*; name its head")
    for name in sorted({*taken, *(name for name in own if not name.startswith(head))}):
        if name not in taken or name not in own or taken[name].shape != own[name].shape:
            raise ValueError(
                f"{name} of {type(model).__name__} does not fit what was pretrained; build alike"
            )
    model.load_state_dict(own | taken)
    return model


def watched() -> bool:
    """Is somebody looking: a terminal, or JupyterLab (which names its session), but not papermill."""
    return sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ


def weights_fingerprint(model: nn.Module) -> str:
    """Twelve hexadecimal digits that change when any weight changes by one bit."""
    parts = []
    for name, value in sorted(model.state_dict().items()):
        parts += [name.encode(), value.detach().cpu().contiguous().numpy().tobytes()]
    return fingerprint(parts)


def save_checkpoint(
    path: str | Path, model: nn.Module, optimizer: Any = None, losses: Sequence[float] = ()
) -> None:
    """Weights, and what is needed to go on training, as one safetensors file, written whole."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if optimizer is not None:
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in state.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, save(tensors, {"losses": json.dumps(list(losses))}))


def load_checkpoint(
    path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> list[float]:
    """Load weights, and the optimizer's state where the file has it; the losses of its epochs.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is no whole checkpoint, or a number in it is NaN or infinite.
        ValueError: its weights are another model's.
    """

    def damaged(what: object) -> DamagedFile:
        return DamagedFile(f"{path} is not a whole checkpoint ({what}); delete it to train anew")

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            losses = json.loads((file.metadata() or {})["losses"])
    except DAMAGE as error:
        raise damaged(error) from None
    if not isinstance(losses, list) or not all(
        isinstance(loss, float) and math.isfinite(loss) for loss in losses
    ):
        raise damaged("its losses are no list of finite numbers")
    weights = {
        name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")
    }
    want = {name: (value.dtype, *value.shape) for name, value in model.state_dict().items()}
    have = {name: (value.dtype, *value.shape) for name, value in weights.items()}
    if want != have:
        name = min(n for n in want.keys() | have.keys() if want.get(n) != have.get(n))
        raise DamagedFile(
            f"{path} is a checkpoint of another model: {name} is {have.get(name, 'absent')}"
            f" there and {want.get(name, 'absent')} in {type(model).__name__}; delete it"
        )
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise damaged(f"{name} holds NaN or infinity")
    if optimizer is not None:
        state = {}
        values = [value for group in optimizer.param_groups for value in group["params"]]
        for i, value in enumerate(values):
            own = {key: tensors[f"optimizer.{i}.{key}"] for key in ADAM if f"optimizer.{i}.{key}" in tensors}
            like = [(torch.float32,), *2 * [(value.dtype, *value.shape)]]
            if not own:
                continue
            if [(one.dtype, *one.shape) for one in own.values()] != like:
                raise damaged(f"the optimizer's state of weight {i} does not fit")
            if own["step"] < 1 or (own["exp_avg_sq"] < 0).any():
                raise damaged(f"the optimizer's state of weight {i} is below what it can be")
            state[i] = own
        if state:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    model.load_state_dict(weights)
    return losses
