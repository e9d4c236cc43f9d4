"""Files written whole or not at all, damaged ones, fingerprints, and the places of the repository."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LONG = 800  # letters of a sentence


class DamagedFile(ValueError):
    """A file that is not what it should be; the sentence names it, and the line where there are lines.

    What a library says, or what stands in the file, may be of many lines: here it is of one, and not long.
    """

    def __init__(self, sentence: str) -> None:
        line = re.sub(r"\s*\n\s*", " ", sentence)
        super().__init__(line if len(line) < LONG else f"{line[: LONG // 2]} ... {line[-LONG // 4 :]}")


def read_json(path: Path, remedy: str) -> Any:
    """What a file of JSON holds.

    Raises:
        DamagedFile: it is none; the sentence ends with the remedy.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is not JSON ({error}); {remedy}") from None


def repository(folder: Path) -> Path | None:
    """`folder` if it is this project's: beside an installed package lies no pyproject.toml, or another's."""
    project = folder / "pyproject.toml"
    named = project.is_file() and 'name = "companion"' in project.read_text(encoding="utf-8")
    return folder if named else None


REPOSITORY = repository(Path(__file__).resolve().parents[1])


def checkout() -> Path:
    """The repository's root.

    Raises:
        FileNotFoundError: the package is installed without it.
    """
    if REPOSITORY is None:
        raise FileNotFoundError(
            "this needs the repository: clone it, an installed package has no notebooks, records and tables"
        )
    return REPOSITORY


def scratch() -> Path:
    """The folder of everything that is made on this machine and not committed, an absolute path.

    COMPANION_OUT, resolved from the repository or else the working directory; by default `results/quick`
    of the repository, or else `companion` in the user's cache.
    """
    if out := os.environ.get("COMPANION_OUT"):
        return (REPOSITORY or Path.cwd()) / out
    if REPOSITORY:
        return REPOSITORY / "results" / "quick"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "companion"


def write_whole(path: str | Path, content: str | bytes | Iterable[bytes], sync: bool = True) -> Path:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    Args:
        content: or pieces of it, one after the other.
        sync: even after a loss of power; takes some milliseconds.

    Raises:
        OSError: the folder cannot be made or written; the sentence names the file.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    pieces = [data] if isinstance(data, bytes) else data
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise type(error)(f"cannot write {path}: {error.strerror}; choose another folder") from None
    finally:
        if name and os.path.exists(name):
            os.unlink(name)
    return path


def fingerprint(content: bytes | Iterable[bytes]) -> str:
    """Twelve hexadecimal digits that change when one bit changes (SHA-256)."""
    digest = hashlib.sha256()
    for part in [content] if isinstance(content, bytes) else content:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:12]
