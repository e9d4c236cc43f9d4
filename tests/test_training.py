import subprocess
import sys
import textwrap
from functools import partial

import numpy as np
import pytest
from torch import nn
from torch.nn import functional as F

from companion import records, training
from companion.datasets.digits import Digits
from companion.metrics import glimpses
from companion.models import ram


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
    np.testing.assert_allclose(rows["loss"], want.detach().numpy(), rtol=5e-3)  # bf16 on some machines


def test_two_processes_train_as_one(tmp_path):
    """The same batches, split over two processes on the CPU, give the same loss up to rounding."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
        import sys, torch
        from companion import training
        from companion.datasets.digits import Digits
        from companion.metrics import glimpses
        from companion.models import ram
        torch.set_num_threads(1)
        training.seed_everything(0)
        model = ram.FullyConnected(28, 32)
        data = Digits("digits", "validation")
        losses = training.fit(model, data, ram.objective, epochs=2, lr=1e-2, batch_size=50)
        rows = training.evaluate(model, Digits("digits", "test"), glimpses.scores, batch_size=50)
        if training.accelerator().is_main_process:
            print(*losses, rows["error"].mean(), len(rows["error"]))
        """)
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    outputs = []
    for n in ("1", "2"):
        done = subprocess.run([*launch, "--num_processes", n, script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        outputs.append([float(word) for word in done.stdout.split()])
    np.testing.assert_allclose(*outputs, rtol=1e-3)
    assert outputs[0][-1] == 500


PARAMS = {"fit": {"epochs": 2, "lr": 1e-2, "batch_size": 50}}
RUN = records.Run("05_hard_attention", "digits", "full", "centred-28", "fc-16")


def measured(out, loss=ram.objective):
    train, test = Digits("digits", "validation"), Digits("digits", "test")
    build = partial(ram.build, "fc-16", 28, 8, 1)
    return training.measure(RUN, PARAMS, build, train, test, loss, glimpses.scores, out=out)


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "scratch"))
    return tmp_path / "runs"


def test_what_stands_is_not_trained_again(out):
    record, model, losses = measured(out)
    again, same_model, same_losses = measured(out, never)
    assert again == record and same_losses == losses
    prints = [training.weights_fingerprint(m) for m in (model, same_model)]
    assert prints == [record["provenance"]["weights"]] * 2
    assert not model.training and not same_model.training  # no dropout in what a notebook shows


def test_a_record_beside_an_unfinished_checkpoint_is_all_that_is_left(out):
    record, model, losses = measured(out)
    model.classify.weight.data += 1
    training.save_checkpoint(records.checkpoint(RUN, PARAMS), model, losses=losses[:1])
    assert measured(out, never) == (record, None, [])


def test_a_run_that_went_on_has_no_seconds(out):
    steps = 0

    def dying(model, batch):
        nonlocal steps
        steps += 1
        if steps > 4:  # in the second epoch
            raise KeyboardInterrupt
        return ram.objective(model, batch)

    with pytest.raises(KeyboardInterrupt):
        measured(out, dying)
    resumed, _, _ = measured(out)
    assert resumed["provenance"]["seconds"] is None
    records.checkpoint(RUN, PARAMS).unlink()
    RUN.path(out).unlink()
    unbroken, _, _ = measured(out)
    assert unbroken["provenance"]["seconds"] is not None and records.same(resumed, unbroken)


def test_weights_of_other_code_are_not_taken_up(out, monkeypatch):
    measured(out)
    RUN.path(out).unlink()
    monkeypatch.setattr(records, "code", lambda: {"companion/models/ram.py": "other"})
    with pytest.raises(AssertionError, match="something was trained"):
        measured(out, never)


def test_a_part_is_trained_once_or_loaded(out):
    """By the next call from its checkpoint, and from a file of weights without any."""
    data = Digits("digits", "validation")
    run, build = records.Run("n", "digits", variant="part"), partial(ram.FullyConnected, 28, 32)
    params = {"fit": {"epochs": 2, "lr": 0.01}}
    model = training.part(run, params, build, data, ram.objective)
    assert not model.training
    again = training.part(run, params, build, data, never)
    assert training.weights_fingerprint(again) == training.weights_fingerprint(model)
    weights = {"weights": records.checkpoint(run, params | {"data": data.fingerprint})}
    loaded = training.part(records.Run("n", "digits", seed=7), weights, build, data, never)
    assert training.weights_fingerprint(loaded) == training.weights_fingerprint(model)


def test_a_score_that_a_sample_does_not_have_does_not_count(out):
    def half(model, batch):
        values = ram.F.one_hot(batch.label, 10)[:, 0].float()
        return {"zeros": values.where(values > 0, float("nan"))}

    data = Digits("digits", "validation")
    params = {"fit": {"epochs": 1, "lr": 0.01}}
    run, build = records.Run("n", "digits", variant="fc-32"), partial(ram.FullyConnected, 28, 32)
    record, _, _ = training.measure(run, params, build, data, data, ram.objective, half, out=out)
    assert record["metrics"]["zeros"] == 1
