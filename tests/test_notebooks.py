"""What a stored notebook must be, beside what nbval compares."""

import ast
import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import jupytext
import labelled
import nbformat
import pytest
import yaml

from conftest import compare, readable

HOUSE = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((HOUSE / "notebooks").glob("*.ipynb"))
RUNS = yaml.safe_load((HOUSE / "workflow/config.yaml").read_text())["runs"]
LEAKS = {
    "an absolute path": rf"{re.escape(str(HOUSE))}|(?:^|[\s\"'(=])/(?:home|root|tmp|usr|opt|mnt|Users)/",
    "a time": r"\d(?:\.\d+)?\s?(?:ms|s|sec|seconds|min|minutes)\b|\b\d+:\d\d\b",
    "a memory size": r"\d\s?[KMG]i?B\b",
    "a progress bar": r"\d%\||it/s|\r",
}


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def faults(notebook: nbformat.NotebookNode, sources: list[str]) -> list[str]:
    """Everything that is wrong with a stored notebook whose quick sources are `sources`."""
    found = ["papermill left its metadata"] if "papermill" in notebook.metadata else []
    if notebook.metadata.get("companion") != {"threads": int(os.environ["OMP_NUM_THREADS"])}:
        found.append("other threads than the tests', or none, stand beside the stored outputs")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        found.append("the cells were not run once each, from top to bottom")
    if not any(cell.outputs for cell in cells):
        found.append("no stored outputs: nbval would compare nothing")
    if median([len(cell.source.splitlines()) for cell in cells] or [0]) > 8:
        found.append("the median code cell is longer than 8 lines")
    found += [f"In [{cell.execution_count}]: {fault}" for cell in cells for fault in cell_faults(cell)]
    exercises = [n for n, cell in enumerate(notebook.cells) if re.match(r"#+ Exercises", cell.source)]
    for cell in notebook.cells[: exercises[0] if exercises else None]:
        if cell.cell_type == "code" and any(
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)
            for node in ast.walk(ast.parse(cell.source))
        ):
            found.append(f"In [{cell.execution_count}]: a definition; it belongs into the package")
    return found + parameter_faults(cells, sources)


def cell_faults(cell: dict) -> list[str]:
    """What is wrong with one code cell and its outputs."""
    found = []
    if len(cell.source.splitlines()) > 20:
        found.append("longer than 20 lines")
    if re.search("NBVAL_|PYTEST_VALIDATE_", cell.source) or {"nbval-skip", "nbval-raises-exception"} & set(
        tags(cell)
    ):
        found.append("nbval is told not to look")
    if re.search(r"[\"']\.\./\w", cell.source):
        found.append("a path that holds in this folder only; begin with `companion.files.checkout()`")
    if "nbval-ignore-output" in tags(cell):
        if "trained" in tags(cell):
            if not isinstance(cell.metadata.get("tolerance"), int | float):
                found.append("trained numbers without `tolerance` in the cell's metadata")
        elif "picture" not in tags(cell):
            found.append("an ignored output is tagged `trained` (with `tolerance`) or `picture`")
        elif any(
            "text" in out or not out.get("data", {}).get("text/plain", "<").startswith("<")
            for out in cell.outputs
        ):
            found.append("a picture that holds text")
    elif {"trained", "picture"} & set(tags(cell)):
        found.append("`trained` and `picture` go with `nbval-ignore-output`")
    for output in cell.outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            found.append("a stored error or warning")
        text = output.get("text", "") + "\n" + output.get("data", {}).get("text/plain", "")
        found += [f"{what} in a stored output" for what, pattern in LEAKS.items() if re.search(pattern, text)]
        if (
            re.search(LEAKS["an absolute path"], readable([output]))
            and "an absolute path in a stored output" not in found
        ):
            found.append("an absolute path in a stored output")
    return found


def parameter_faults(cells: list[dict], sources: list[str]) -> list[str]:
    """The stored outputs show the embedded data if the parameters are the defaults of the quick profile."""
    if any("injected-parameters" in tags(cell) for cell in cells):
        return ["papermill's injected parameters are stored"]
    cell = next((cell for cell in cells if "parameters" in tags(cell)), None)
    if cell is None:
        return [] if sources == ["none"] else ["no cell is tagged `parameters`"]
    values = {}
    for node in ast.parse(cell.source).body:
        values[node.targets[0].id] = ast.literal_eval(node.value)
    right = {"profile": ["quick"], "source": sources, "root": [None], "out": [None], "seed": [0]}
    return [
        f"the stored outputs show {name} = {values[name]!r}, not the default"
        for name, known in right.items()
        if name in values and values[name] not in known
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_has_no_faults(path):
    assert faults(nbformat.read(path, as_version=4), RUNS[path.stem]["quick"]["sources"]) == []


def test_every_notebook_is_in_the_batch_and_has_its_text_pair():
    names = {path.stem for path in NOTEBOOKS}
    assert names == set(RUNS) == {path.stem for path in (HOUSE / "notebooks/percent").glob("*.py")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_text_pair_holds_the_same_cells(path):
    pair = jupytext.read(HOUSE / "notebooks/percent" / f"{path.stem}.py")
    one, other = (
        [(cell.cell_type, cell.source, tags(cell), cell.metadata.get("tolerance")) for cell in notebook.cells]
        for notebook in (nbformat.read(path, as_version=4), pair)
    )
    assert one == other, "run `jupytext --sync` on the notebook"


def good() -> nbformat.NotebookNode:
    """A notebook without faults."""
    new = nbformat.v4
    stream = new.new_output("stream", text="accuracy 91.2\n")
    table = new.new_output("execute_result", {"text/plain": "(2, 3)"}, execution_count=3)
    picture = new.new_output(
        "display_data", {"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": "AAAA"}
    )
    trained = {"tags": ["nbval-ignore-output", "trained"], "tolerance": 3}
    cells = [
        new.new_code_cell(
            'profile = "quick"\nsource = "digits"\nseed = 0\nout = None', metadata={"tags": ["parameters"]}
        ),
        new.new_code_cell("show(metrics)", outputs=[stream], metadata=trained),
        new.new_code_cell("shape", outputs=[table]),
        new.new_code_cell("plot()", outputs=[picture], metadata={"tags": ["nbval-ignore-output", "picture"]}),
        new.new_markdown_cell("## Exercises"),
        new.new_code_cell("def uniform(a):\n    return a"),
    ]
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
    threads = {"threads": int(os.environ["OMP_NUM_THREADS"])}
    return new.new_notebook(cells=cells, metadata={"companion": threads})


def test_a_good_notebook_passes():
    assert faults(good(), ["digits"]) == []


BAD = {
    "no stored outputs": lambda nb: [cell.update(outputs=[]) for cell in nb.cells if "outputs" in cell],
    "not run once each": lambda nb: nb.cells[2].update(execution_count=None),
    "an absolute path": lambda nb: nb.cells[1].outputs[0].update(text="/home/reader/x.npz"),
    "a time": lambda nb: nb.cells[1].outputs[0].update(text="trained in 12.3 s"),
    "a memory size": lambda nb: nb.cells[1].outputs[0].update(text="512 MiB"),
    "a progress bar": lambda nb: nb.cells[1].outputs[0].update(text=" 50%|#####     | 5/10"),
    "a stored error or warning": lambda nb: nb.cells[1].outputs[0].update(name="stderr"),
    "a picture that holds text": lambda nb: nb.cells[3].outputs[0].data.update({"text/plain": "accuracy 99"}),
    "without `tolerance`": lambda nb: nb.cells[1].metadata.pop("tolerance"),
    "is tagged `trained`": lambda nb: nb.cells[1].metadata.update(tags=["nbval-ignore-output"]),
    "go with `nbval-ignore-output`": lambda nb: nb.cells[1].metadata.update(tags=["trained"]),
    "nbval is told not to look": lambda nb: nb.cells[2].update(source="# NBVAL_SKIP\nshape"),
    "in this folder only": lambda nb: nb.cells[2].update(source='open("../results/x.csv")'),
    "profile = 'full'": lambda nb: nb.cells[0].update(source='profile = "full"'),
    "source = 'mnist'": lambda nb: nb.cells[0].update(source='source = "mnist"'),
    "root = '../data'": lambda nb: nb.cells[0].update(source='root = "../data"'),
    "no cell is tagged `parameters`": lambda nb: nb.cells[0].metadata.update(tags=[]),
    "injected parameters": lambda nb: nb.cells[2].metadata.update(tags=["injected-parameters"]),
    "other threads": lambda nb: nb.metadata.update(companion={"threads": 64}),
    "papermill left": lambda nb: nb.metadata.update(papermill={}),
    "a definition": lambda nb: nb.cells[2].update(source="f = lambda x: x"),
    "longer than 20 lines": lambda nb: nb.cells[2].update(source="x = 1\n" * 21),
    "median code cell": lambda nb: [
        cell.update(source="x = 1\n" * 9) for cell in nb.cells[1:] if "outputs" in cell
    ],
}


@pytest.mark.parametrize("fault", BAD)
def test_a_fault_is_found(fault):
    notebook = copy.deepcopy(good())
    BAD[fault](notebook)
    assert any(fault in found for found in faults(notebook, ["digits"]))


def test_trained_numbers_may_differ_by_the_tolerance_and_words_not_at_all():
    table = nbformat.v4.new_output(
        "display_data", {"text/html": "<td>91.2</td>", "text/plain": "hard   91.2"}
    )
    stored = readable([table, nbformat.v4.new_output("display_data", {"application/json": {"hard": 91.2}})])
    assert compare(stored, stored.replace("91.2", "93.9"), 3) == ""
    assert "by more than 3" in compare(stored, stored.replace("91.2</td>", "95</td>"), 3)
    assert "by more than 3" in compare(stored, stored.replace('"hard": 91.2', '"hard": 95.1'), 3)
    assert "words" in compare(stored, stored.replace("hard", "soft"), 3)


def test_the_readmes_command_runs_a_notebook_that_names_another_kernel(tmp_path):
    """As an editor stores it: after its environment, which no list of kernels knows."""
    (line,) = re.findall(r"^papermill (.*)$", (HOUSE / "README.md").read_text(), re.M)
    source, out, *words = line.split()
    stored = nbformat.read(HOUSE / source, as_version=4)
    stored.cells = [cell for cell in stored.cells if "parameters" in tags(cell)]
    stored.metadata["kernelspec"] = {"name": ".venv", "display_name": ".venv", "language": "python"}
    nbformat.write(stored, tmp_path / "notebook.ipynb")
    call = [sys.executable, "-m", "papermill", "notebook.ipynb", out, *words]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    given = "".join(cell.source for cell in nbformat.read(tmp_path / out, as_version=4).cells)
    assert 'source = "mnist"' in given and "seed = 1" in given
    assert ".venv/bin/papermill" in (HOUSE / "README.md").read_text()


def test_a_source_with_folds_and_pictures_without_a_counted_class_runs(tmp_path):
    top = labelled.coco(tmp_path, 40) / "coco128"
    for n in range(0, 40, 3):
        (top / "labels/train" / f"{n:03}.txt").write_text("")
    notebook = nbformat.read(HOUSE / "notebooks/03_weakly_supervised_attention.ipynb", as_version=4)
    last = next(
        n for n, cell in enumerate(notebook.cells) if "at least twice" in cell.source and "by[" in cell.source
    )
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, tmp_path / "notebook.ipynb")
    given = {"source": "coco128", "root": tmp_path, "out": tmp_path / "out"}
    call = [sys.executable, "-m", "papermill", "notebook.ipynb", "done.ipynb"]
    for name, value in given.items():
        call += ["-p", name, str(value)]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    assert "least twice the middle: " in (tmp_path / "done.ipynb").read_text()
