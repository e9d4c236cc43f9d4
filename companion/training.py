"""Fit and evaluate, by the same call on a CPU, a GPU or several processes (`accelerate launch`).

An epoch is the unit of everything that can be interrupted: its order, its data and its noise come
from (seed, epoch) alone, and a checkpoint is written when it ends. A run that is killed anywhere
goes on from its last whole epoch and ends with the weights of an unbroken one.
"""

import json
import math
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from companion import records
from companion.files import fingerprint, write_whole

Step = Callable[[nn.Module, Any], Tensor]
Score = Callable[[nn.Module, Any], dict[str, Tensor]]


def seed_everything(*seed: int) -> None:
    """Seed Python and torch from whole numbers, and allow deterministic kernels only."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    value = int(np.random.SeedSequence(seed).generate_state(1)[0])
    random.seed(value)
    torch.manual_seed(value)
    torch.use_deterministic_algorithms(True)


def accelerator() -> Accelerator:
    """This process's devices; `batch_size` is the size over all processes together.

    Products are computed in bf16 where the device has instructions for them: on GPUs, and on CPUs with
    avx512_bf16, where training is about twice as fast. Other CPUs imitate bf16 slowly, so they stay in f32.
    """
    fast = torch.cuda.is_available() or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return Accelerator(
        mixed_precision="bf16" if fast else "no",
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],  # a stage rests some
    )


def loader(data: Dataset, batch_size: int, **options: Any) -> DataLoader:
    """Batches of a dataset whose `__getitems__` gives whole batches."""
    return DataLoader(data, batch_size, collate_fn=lambda batch: batch, **options)


def fit(
    model: nn.Module,
    data: Dataset,
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
    seed: int = 0,
    checkpoint: str | Path | None = None,
) -> list[float]:
    """Train in place with AdamW, a linear warm-up and a cosine to zero; the mean loss of each epoch.

    The model ends on the CPU, as `evaluate` leaves it too.

    Args:
        data: `__getitems__(indices)` gives a batch; `set_epoch(epoch)`, if there, draws it anew.
        loss: called as loss(model, batch), gives a scalar.
        clip: largest norm of the gradient.
        factors: of the rate, for the parameters whose names begin so: {"locate": 0.1}.
        schedule: called before each epoch, and at the end, with the share of the epochs that is done.
        warmup: share of the steps in which the rate rises.
        checkpoint: safetensors file to go on from and to write after each epoch; a finished one
            is loaded and nothing is trained.

    Raises:
        ValueError: the checkpoint is damaged or belongs to another model.
    """
    device = accelerator()
    order = torch.Generator()
    batches = loader(data, batch_size, shuffle=True, drop_last=len(data) >= batch_size, generator=order)
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
    trained, optimizer, batches = device.prepare(model, optimizer, batches)
    steps, step = epochs * len(batches), len(losses) * len(batches)
    trained.train()
    bar = tqdm(total=steps, initial=step, unit="step", leave=False, disable=not watched())
    for epoch in range(len(losses), epochs):
        order.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        seed_everything(seed, epoch, device.process_index)
        batches.set_epoch(epoch)  # else a resumed loader counts from 0, and tells the data so
        if hasattr(data, "set_epoch"):
            data.set_epoch(epoch)
        if schedule:
            schedule(epoch / epochs)
        total = 0.0
        for batch in batches:
            rate = (
                lr * min(1, (step + 1) / max(1, warmup * steps)) * (1 + math.cos(math.pi * step / steps)) / 2
            )
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            value = loss(trained, batch)
            optimizer.zero_grad()
            device.backward(value)
            device.clip_grad_norm_(trained.parameters(), clip)
            optimizer.step()
            total = total + value.detach()
            step += 1
            bar.update()
        losses.append(device.reduce(total, "mean").item() / len(batches))
        bar.set_postfix(epoch=epoch + 1, loss=f"{losses[-1]:.3f}")
        if checkpoint and device.is_main_process:
            save_checkpoint(checkpoint, model, None if epoch + 1 == epochs else optimizer, losses)
    if schedule:
        schedule(1.0)
    bar.close()
    device.unwrap_model(trained, keep_fp32_wrapper=False).cpu()
    return losses


@torch.no_grad()
def evaluate(
    model: nn.Module, data: Dataset, score: Score, *, batch_size: int = 500, seed: int = 0
) -> dict[str, np.ndarray]:
    """One row a sample: `score(model, batch)` gives name -> tensor of B values.

    The noise of a stochastic model comes from `seed`; the batch size changes it, so keep it.
    """
    device = accelerator()
    seed_everything(seed, device.process_index)
    read, batches = device.prepare(model, loader(data, batch_size))
    read.eval()
    columns: dict[str, list[Tensor]] = {}
    for batch in batches:
        for name, values in score(read, batch).items():
            columns.setdefault(name, []).append(device.gather_for_metrics(values).float().cpu())
    device.unwrap_model(read, keep_fp32_wrapper=False).cpu()
    return {name: torch.cat(parts).numpy() for name, parts in columns.items()}


def measure(
    run: records.Run,
    params: dict,
    build: Callable[[], nn.Module],
    data: Dataset,
    test: Dataset,
    loss: Step,
    score: Score,
    *,
    out: str | Path | None = None,
) -> tuple[dict, nn.Module | None, list[float]]:
    """Train, test and record one run, or take up what stands of it: its record, its checkpoint.

    The code that the record names is that of the beginning; `seconds` is empty for a run that went on.

    Args:
        params: with the options of `fit` under "fit"; a record made with equal params is kept.
        build: makes the model; called after seeding.
        data, test: the training set, and the set that `score` is averaged over, once; a sample for which
            a score is not defined has NaN and does not count. A score of no sample is left out.
        out: folder of the records, see `records.Run.path`.

    Returns:
        The record; the trained model, or None where only the record is left; the loss of each epoch.
    """
    records.check_out(run, out)
    record, checkpoint = records.find(run.path(out), params), records.checkpoint(run, params)
    if record and not checkpoint.exists():
        return record, None, []
    start, resumed, made_by = perf_counter(), checkpoint.exists(), records.surroundings()
    seed_everything(run.seed)
    model = build()
    schedule = getattr(model, "anneal", None)
    if record:
        losses = load_checkpoint(checkpoint, model)
        if weights_fingerprint(model) != record["provenance"].get("weights"):
            return record, None, []
        if schedule:
            schedule(1.0)
        return record, model.eval(), losses
    losses = fit(model, data, loss, seed=run.seed, schedule=schedule, checkpoint=checkpoint, **params["fit"])
    rows = evaluate(model, test, score, seed=run.seed)
    rows = {name: values[~np.isnan(values)] for name, values in rows.items()}
    means = {name: round(float(values.mean(dtype=float)), 4) for name, values in rows.items() if len(values)}
    provenance = made_by | {
        "seconds": None if resumed else round(perf_counter() - start),
        "precision": "bf16" if accelerator().mixed_precision == "bf16" else "f32",
        "data": {"train": data.fingerprint, "test": test.fingerprint},
        "weights": weights_fingerprint(model),
    }
    record = records.write(run, params, means | {"n_test": len(test)}, out=out, **provenance)
    return record, model, losses


def part(
    run: records.Run, params: dict, build: Callable[[], nn.Module], data: Dataset, loss: Step
) -> nn.Module:
    """What several runs build on, ready to rest: trained once on this machine, and kept as a checkpoint.

    Args:
        run: whose variant is the part's name.
        params: with the options of `fit` under "fit"; or "weights", a file in the repository to load instead;
            without either it is ready when it is built.
    """
    seed_everything(run.seed)
    model = build()
    if "weights" in params:
        load_checkpoint(records.REPOSITORY / params["weights"], model)
    elif "fit" in params:
        own = records.checkpoint(run, params | {"data": data.fingerprint})
        fit(model, data, loss, seed=run.seed, checkpoint=own, **params["fit"])
    return model.eval()


def begun(build: Callable[[], nn.Module], trained: nn.Module) -> nn.Module:
    """A model that begins with the weights of one trained on other classes, all but the scores'."""
    model = build()
    known = {name: w for name, w in trained.state_dict().items() if not name.startswith("classify")}
    model.load_state_dict(model.state_dict() | known)
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
    path: str | Path, model: nn.Module, optimizer: Any = None, losses: list[float] = ()
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
        ValueError: the file is damaged, or its weights are another model's.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            losses = json.loads((file.metadata() or {})["losses"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a whole checkpoint ({error}); delete it to train anew") from None
    weights = {
        name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")
    }
    want = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    have = {name: tuple(value.shape) for name, value in weights.items()}
    if want != have:
        name = min(n for n in want.keys() | have.keys() if want.get(n) != have.get(n))
        raise ValueError(
            f"{path} is a checkpoint of another model: {name} is {have.get(name, 'absent')}"
            f" there and {want.get(name, 'absent')} in {type(model).__name__}; delete it"
        )
    model.load_state_dict(weights)
    if optimizer is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, i, key = name.split(".")
                state.setdefault(int(i), {})[key] = value
        if state:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return losses
