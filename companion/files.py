"""Files written whole or not at all, damaged ones, fingerprints, and the places of the repository."""

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

LONG = 800  # letters of a sentence

UNFINISHED = ".companion"  # ends the name of a file that is being written


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

    Raises:
        FileNotFoundError: the user has no home.
    """
    if out := os.environ.get("COMPANION_OUT"):
        return (REPOSITORY or Path.cwd()) / out
    if REPOSITORY:
        return REPOSITORY / "results" / "quick"
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "companion"
    except RuntimeError:
        raise FileNotFoundError(
            "you have no home folder: set COMPANION_OUT to a folder to write to"
        ) from None


def write_whole(path: str | Path, content: str | bytes | Iterable[bytes], sync: bool = True) -> Path:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    What a killed process had begun in the folder is removed by the next one that writes there.

    Args:
        content: or pieces of it, one after the other.
        sync: even after a loss of power; takes some milliseconds.

    Raises:
        OSError: the folder cannot be made or written; the sentence names the file.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    pieces = [data] if isinstance(data, bytes) else data
    begun = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear(path.parent.absolute())
        with open(begin(begun), "wb") as file:
            file.writelines(pieces)
            file.flush()
            if sync:
                os.fsync(file.fileno())
            os.replace(begun, path)
    except OSError as error:
        raise type(error)(f"cannot write {path}: {error.strerror or error}; choose another folder") from None
    finally:
        with suppress(OSError):
            begun.unlink()
    return path


def begin(path: Path) -> int:
    """A new file, locked while it is open: one that is not locked has no writer."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks: nobody clears there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if path.exists():  # else it was cleared before it was locked
            return handle
        os.close(handle)


@cache  # once a process: folders may be large
def clear(folder: Path) -> None:
    """Remove what processes have begun to write in a folder, on any machine, and were killed."""
    for begun in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError), begun.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            begun.unlink()


def fingerprint(content: bytes | Iterable[bytes]) -> str:
    """Twelve hexadecimal digits that change when one bit changes (SHA-256)."""
    digest = hashlib.sha256()
    for part in [content] if isinstance(content, bytes) else content:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:12]
