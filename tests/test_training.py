import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

from companion import presets, records, training
from companion.__main__ import app
from companion.datasets.digits import Digits
from companion.files import DamagedFile
from companion.models import ram

HOUSE = Path(__file__).resolve().parents[1]


def fitted(seed=0, **options):
    training.seed_everything(seed)
    model = ram.RAM(n_glimpses=3, width=32)
    losses = training.fit(
        model,
        Digits("digits", "validation", "translated-60"),
        ram.objective,
        lr=1e-2,
        batch_size=32,
        seed=seed,
        **{"epochs": 3, **options},
    )
    return model, losses


def test_one_seed_one_fingerprint():
    prints = [training.weights_fingerprint(fitted(seed)[0]) for seed in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]


def test_training_lowers_the_loss():
    model = ram.FullyConnected(28, 32)
    losses = training.fit(
        model,
        Digits("digits", "validation"),
        ram.objective,
        epochs=10,
        lr=1e-2,
        batch_size=32,
    )
    assert losses[-1] < losses[0] / 4


@pytest.mark.parametrize("killed_at", [0, 5, 6, 11, 17])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, killed_at):
    """6 steps an epoch: killed before the first, within, and at the end of an epoch."""
    checkpoint, steps = tmp_path / "weights.safetensors", 0

    def dying(model, batch):
        nonlocal steps
        if steps == killed_at:
            raise KeyboardInterrupt
        steps += 1
        return ram.objective(model, batch)

    training.seed_everything(0)
    model = ram.RAM(n_glimpses=3, width=32)
    with pytest.raises(KeyboardInterrupt):
        training.fit(
            model,
            Digits("digits", "validation", "translated-60"),
            dying,
            lr=1e-2,
            batch_size=32,
            epochs=3,
            checkpoint=checkpoint,
        )
    resumed, losses = fitted(checkpoint=checkpoint)
    unbroken, want = fitted()
    assert training.weights_fingerprint(resumed) == training.weights_fingerprint(unbroken)
    assert losses == want


def never(model, batch):
    raise AssertionError("something was trained")


def test_a_finished_checkpoint_is_loaded_and_nothing_is_trained(tmp_path):
    checkpoint = tmp_path / "weights.safetensors"
    model, losses = fitted(checkpoint=checkpoint)
    before = checkpoint.read_bytes()
    again = ram.RAM(n_glimpses=3, width=32)
    assert (
        training.fit(again, Digits("digits", "validation"), never, epochs=3, lr=1e-2, checkpoint=checkpoint)
        == losses
    )
    assert training.weights_fingerprint(again) == training.weights_fingerprint(model)
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    training.save_checkpoint(path, ram.RAM(n_glimpses=3, width=32))
    with pytest.raises(
        ValueError, match=r"weights.safetensors is a checkpoint of another model: .* is .* there and"
    ):
        training.load_checkpoint(path, ram.RAM(n_glimpses=3, width=64))


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 a pickle in a zip", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"]
)
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights.safetensors is not a whole checkpoint"):
        training.load_checkpoint(path, nn.Linear(1, 1))


def test_a_truncated_checkpoint_is_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    training.save_checkpoint(path, nn.Linear(3, 3))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"is not a whole checkpoint"):
        training.load_checkpoint(path, nn.Linear(3, 3))


def begun(path):
    """A model, its optimizer, and a checkpoint of both after one step."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    training.save_checkpoint(path, model, optimizer, [0.5])
    return model, optimizer


@pytest.mark.parametrize(
    "name, change, sentence",
    [
        ("model.weight", lambda x: x * torch.nan, "model.weight holds NaN or infinity"),
        ("model.bias", lambda x: x / 0, "model.bias holds NaN or infinity"),
        ("model.bias", lambda x: x.double(), "is a checkpoint of another model: bias is .*float64"),
        ("model.weight", lambda x: x.T.contiguous(), "is a checkpoint of another model: weight is"),
        ("optimizer.0.exp_avg", lambda x: x[:1], "state of weight 0 does not fit"),
        ("optimizer.1.exp_avg", lambda x: x.double(), "state of weight 1 does not fit"),
        ("optimizer.1.step", lambda x: None, "state of weight 1 does not fit"),
        ("optimizer.1.step", lambda x: x - 9, "state of weight 1 is below what it can be"),
        ("optimizer.1.exp_avg_sq", lambda x: -x, "state of weight 1 is below what it can be"),
        ("optimizer.0.exp_avg_sq", lambda x: x * torch.nan, "optimizer.0.exp_avg_sq holds NaN"),
    ],
)
def test_a_checkpoint_of_wrong_tensors_is_named_and_changes_nothing(tmp_path, name, change, sentence):
    path = tmp_path / "weights.safetensors"
    model, optimizer = begun(path)
    tensors = load(path.read_bytes())
    tensors[name] = change(tensors[name])
    tensors = {name: value for name, value in tensors.items() if value is not None}
    path.write_bytes(save(tensors, {"losses": "[0.5]"}))
    before, state = training.weights_fingerprint(model), optimizer.state_dict()
    with pytest.raises(DamagedFile, match=f"weights.safetensors.*{sentence}.*; delete it"):
        training.load_checkpoint(path, model, optimizer)
    assert training.weights_fingerprint(model) == before and str(optimizer.state_dict()) == str(state)


@pytest.mark.parametrize(
    "losses", ["3", "{}", '"12"', "[1]", "[true]", "[NaN]", "[1e999]", '["x"]', "[[0.5]]", "[0.5", "[" * 9999]
)
def test_a_checkpoint_of_wrong_losses_is_named(tmp_path, losses):
    path = tmp_path / "weights.safetensors"
    model, optimizer = begun(path)
    assert training.load_checkpoint(path, model, optimizer) == [0.5]
    path.write_bytes(save(load(path.read_bytes()), {"losses": losses}))
    with pytest.raises(DamagedFile, match=r"weights.safetensors is not a whole checkpoint .*; delete it to"):
        training.load_checkpoint(path, model, optimizer)


def test_evaluate_gives_one_row_a_sample():
    data = Digits("digits", "validation")
    model = ram.FullyConnected(28, 16)
    rows = training.evaluate(
        model,
        data,
        lambda m, b: {"loss": F.cross_entropy(m(b.image).logits, b.label, reduction="none")},
        batch_size=33,
    )
    batch = data.__getitems__(range(len(data)))
    want = F.cross_entropy(model(batch.image).logits, batch.label, reduction="none")
    np.testing.assert_allclose(rows["loss"], want.detach().numpy(), rtol=1e-5)


SCRIPT = """
import torch._dynamo
from accelerate import debug_launcher
from companion import training
from companion.datasets.digits import Digits
from companion.metrics import glimpses
from companion.models import ram
torch.set_num_threads(1)
data, small, test = (Digits("digits", split) for split in ("validation", "validation", "test"))
small.images, small.labels, small.boxes = small.images[:5], small.labels[:5], small.boxes[:5]
adam = torch.optim.AdamW
def train():
    training.seed_everything(0)
    model = ram.FullyConnected(28, 32)
    losses = training.fit(model, data, ram.objective, epochs=2, lr=1e-2, batch_size=50)
    losses += training.fit(ram.FullyConnected(28, 32), small, ram.objective, epochs=2, lr=1e-2, batch_size=50)
    torch.optim.AdamW = lambda groups, lr, **_: torch.optim.SGD(groups, lr)
    other = ram.FullyConnected(28, 32)  # by steps as large as the gradient, which Adam's hardly are
    losses += training.fit(other, data, ram.objective, epochs=2, lr=0.1, batch_size=50)
    torch.optim.AdamW = adam
    rows = training.evaluate(model, test, glimpses.scores, batch_size=60)
    if training.accelerator().is_main_process:
        print(training.accelerator().num_processes, len(rows["error"]), *losses, *rows["error"], flush=True)
for processes in (3, 8):
    debug_launcher(train, num_processes=processes)  # by fork: what stands above is imported once
train()
"""


def printed(*command: str) -> str:
    """What a Python on the CPU prints."""
    env = os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=env, cwd=HOUSE)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_three_and_eight_processes_train_as_one():
    """The same losses up to rounding, of batches that neither number divides and of five samples."""
    lines = printed("-c", SCRIPT).splitlines()
    three, eight, one = ([float(word) for word in line.split()] for line in lines)
    assert [numbers[0] for numbers in (one, three, eight)] == [1, 3, 8]
    assert one[1] == 500 and len(one) == 2 + 6 + 500
    for several in (three, eight):
        np.testing.assert_allclose(several[1:8], one[1:8], rtol=1e-4)
        assert np.mean(np.array(several[8:]) != one[8:]) <= 0.01


def test_a_chapter_is_trained_by_three_processes_as_by_one(tmp_path, monkeypatch):
    """One record, written by the main process, within the tolerance."""
    words = ["train", "hard_attention", "--protocol", "centred-28", "--variant", "fc-16"]
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]  # as README says
    launch += ["--num_processes", "3", "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "companion"]
    found = {}
    for n in (1, 3):
        monkeypatch.setenv("COMPANION_OUT", str(tmp_path / f"scratch{n}"))
        own = [*words, "--out", str(tmp_path / f"runs{n}")]
        said = printed(*launch, *own) if n > 1 else CliRunner().invoke(app, own).output
        (path,) = (tmp_path / f"runs{n}").rglob("*.json")
        assert said.count(str(path)) == 1
        found[n] = records.read(path)
        assert found[n]["provenance"]["processes"] == n
    one, three = (found[n]["metrics"] for n in (1, 3))
    assert one.keys() == three.keys() and one["error"] < 15
    for name, value in one.items():
        assert abs(three[name] - value) <= presets.tolerance("hard_attention", name), name


def test_a_share_is_weighted_by_what_it_holds():
    """Of batches of 5 two processes hold two samples, the third one; together each sample counts 1."""
    shares = [training.Share(12, 5, torch.Generator().manual_seed(0), process, 3) for process in range(3)]
    for batch in zip(*shares, strict=True):
        assert sorted(map(len, batch)) == [1, 2, 2]
        assert len({n for part in batch for n in part}) == 5
        weights = [share.weight() / len(part) for share, part in zip(shares, batch, strict=True)]
        np.testing.assert_allclose(weights, 3 / 5)


def test_a_launcher_that_asks_for_a_precision_is_told_where_it_stands(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(ValueError, match="launch with --mixed_precision no, and write precision: bf16"):
        training.accelerator()


def test_precision_is_the_presets(monkeypatch):
    """bf16 changes the weights, evaluation is f32 in both, and afterwards the model is as it was."""
    seen = []

    def looking(model, batch):
        read = model(batch.image)
        seen.append((torch.is_autocast_enabled("cpu"), read.logits.dtype))
        return ram.loss(read, batch.label)

    prints = []
    for precision in ("f32", "bf16", "f32"):
        training.seed_everything(0)
        model = ram.FullyConnected(28, 16)
        data = Digits("digits", "validation")
        training.fit(model, data, looking, epochs=1, lr=1e-2, batch_size=50, precision=precision)
        prints.append(training.weights_fingerprint(model))
        assert "forward" not in vars(model)
    assert prints[0] == prints[2] != prints[1]
    assert {dtype for _, dtype in seen} == {torch.float32}
    with pytest.raises(ValueError, match="unknown precision 'f16'; choose one of f32, bf16"):
        training.fit(model, data, looking, epochs=1, lr=1e-2, precision="f16")


def test_a_test_has_no_dropout():
    """Though the model comes from training."""
    model, data = nn.Dropout(0.5).train(), Digits("digits", "validation")
    rows = training.evaluate(model, data, lambda m, b: {"ink": m(b.image).mean((1, 2))})
    np.testing.assert_array_equal(rows["ink"], data.__getitems__(range(len(data))).image.mean((1, 2)))


def test_no_clip_is_scored_alone():
    """501 samples in batches of 500 are two of 250: a score that compares samples always has others."""
    sizes = []

    def score(model, batch):
        sizes.append(len(batch.label))
        return {"one": torch.ones(len(batch.label))}

    class Some(Digits):
        def __len__(self):
            return 501

    rows = training.evaluate(ram.FullyConnected(28, 4), Some("digits", "train"), score)
    assert sizes == [251, 250] and len(rows["one"]) == 501


def test_the_noise_of_a_test_does_not_depend_on_what_came_before():
    model, data = ram.RAM(n_glimpses=2, width=8), Digits("digits", "validation", "translated-60")
    score = lambda model, batch: {"x": model(batch.image).locations[:, 0, 0]}  # noqa: E731
    one = training.evaluate(model, data, score, batch_size=50)["x"]
    torch.rand(7)
    np.testing.assert_array_equal(training.evaluate(model, data, score, batch_size=50)["x"], one)
    assert not np.array_equal(training.evaluate(model, data, score, batch_size=50, seed=1)["x"], one)


def test_a_summary_has_counts_and_means_of_units():
    rows = {
        "right": np.array([100.0, 0, 100, np.nan, 100], np.float32),
        "share": np.array([10.0, 20, 30, 40, np.nan], np.float32),
        "never": np.full(5, np.nan, np.float32),
    }
    scores = training.summary(rows, ["b", "a", "b", "c", "a"], ["right", "share", "never", "absent"])
    assert scores.metrics == {"right": 75.0, "share": 25.0, "n_test": 5}
    assert scores.counts == {"right": (3, 4)}
    assert scores.ids == ["a", "b", "c"]
    np.testing.assert_array_equal(scores.units["right"], [50, 100, np.nan])
    np.testing.assert_array_equal(scores.units["share"], [20, 20, 40])
    assert np.isnan(scores.units["never"]).all() and "absent" not in scores.units


def test_what_is_pretrained_rests_and_is_trained_once(tmp_path):
    data, build = Digits("digits", "validation"), partial(ram.FullyConnected, 28, 32)
    params, kept = {"fit": {"epochs": 2, "lr": 0.01}}, tmp_path / "part.safetensors"
    model = training.pretrained(build, params, data, ram.objective, seed=0, checkpoint=kept)
    assert not model.training
    again = training.pretrained(build, params, data, never, seed=0, checkpoint=kept)
    assert training.weights_fingerprint(again) == training.weights_fingerprint(model)


def test_a_model_begins_with_pretrained_weights_but_for_its_head():
    old, build = ram.FullyConnected(28, 32), partial(ram.FullyConnected, 28, 32, classes=7)
    new = training.from_pretrained(build, old)
    assert torch.equal(new.hidden[0].weight, old.hidden[0].weight) and len(new.classify.bias) == 7
    with pytest.raises(ValueError, match=r"FullyConnected has no weights head.\*; name its head"):
        training.from_pretrained(build, old, head="head")
    with pytest.raises(ValueError, match=r"hidden.0.bias of FullyConnected does not fit"):
        training.from_pretrained(partial(ram.FullyConnected, 28, 16), old)
