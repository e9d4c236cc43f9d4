"""Tests write into a folder of their own; trained numbers are compared with a stated tolerance."""

import json
import os
import re
import signal
import tempfile
from pathlib import Path

import pytest

NUMBER = re.compile(r"(?<![\w.-])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")  # but the 6 of ram-6


def pytest_configure(config: pytest.Config) -> None:
    """Neither read nor overwrite what `make book` left behind, but for what numba has compiled; as many
    threads as the stored outputs."""
    house = Path(__file__).parent
    stored = json.loads((house / "notebooks/00_the_lecture.ipynb").read_text())
    os.environ.setdefault("NUMBA_CACHE_DIR", str(house / "results/quick/numba"))
    os.environ["OMP_NUM_THREADS"] = str(stored["metadata"]["companion"]["threads"])
    folder = tempfile.TemporaryDirectory(prefix="companion-")
    os.environ["COMPANION_OUT"] = folder.name
    config.add_cleanup(folder.cleanup)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored


@pytest.fixture(autouse=True)
def committed_records_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes among the records that are in git."""
    from companion import records  # not before pytest has put the checks of shapes in place

    check = records.check_out

    def checked(run: records.Run, out: str | Path | None) -> None:
        kept = Path(__file__).parent / "results/runs"
        assert kept not in run.path(out).parents, f"a test writes to results/runs; give {run} an `out`"
        check(run, out)

    monkeypatch.setattr(records, "check_out", checked)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> object:
    """After nbval ran a cell: outputs only where some are stored, `trained` numbers near the stored."""
    result = yield
    cell = getattr(item, "cell", None)
    if cell is not None:
        assert bool(cell.outputs) == bool(item.test_outputs), (
            "the cell has outputs and stores none, or the other way round"
        )
        if "trained" in cell.metadata.get("tags", []):
            difference = compare(
                readable(cell.outputs), readable(item.test_outputs), cell.metadata["tolerance"]
            )
            assert not difference, difference
    return result


def readable(outputs: list[dict]) -> str:
    """The streams, texts, tables and JSON of a cell's outputs, as one text with single spaces."""
    texts = []
    for output in outputs:
        texts.append(output.get("text", ""))
        for mime, value in sorted(output.get("data", {}).items()):
            if not mime.startswith("image/"):
                texts.append(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
    return " ".join(" ".join(texts).split())


def compare(stored: str, fresh: str, tolerance: float) -> str:
    """The first difference; empty if the words are equal and every number is within `tolerance`."""
    words = [NUMBER.sub("#", text) for text in (stored, fresh)]
    if words[0] != words[1]:
        return f"the stored words {words[0]!r} differ from the fresh {words[1]!r}"
    for one, other in zip(*(NUMBER.findall(text) for text in (stored, fresh)), strict=True):
        if abs(float(one) - float(other)) > tolerance:
            return f"the stored {one} differs from the fresh {other} by more than {tolerance}"
    return ""
