"""Run each notebook from its text pair, as a quick run, and store it with its outputs: `make notebooks`."""

import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from companion.files import checkout, write_whole

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
THREADS = 2  # trained numbers depend on them; they stand in the notebook, and the tests use as many


def store(text: Path) -> None:
    """Execute one text pair in `notebooks/` and write the notebook beside it, without times."""
    notebook = jupytext.read(text)
    notebook.metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        "companion": {"threads": THREADS},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        record_timing=False,
        resources={"metadata": {"path": "notebooks"}},
    ).execute()
    write_whole(checkout() / "notebooks" / f"{text.stem}.ipynb", nbformat.writes(notebook) + "\n")
    print(f"stored {text.stem}", flush=True)


if __name__ == "__main__":
    os.chdir(checkout())
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    with tempfile.TemporaryDirectory() as os.environ["COMPANION_OUT"]:
        for path in sorted((checkout() / "notebooks/percent").glob("*.py")):
            if path.stem in sys.argv[1:] or len(sys.argv) == 1:
                store(path)
