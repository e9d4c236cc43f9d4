"""What code computes: fingerprints of source files that a changed sentence leaves alone.

Two files compute the same if their syntax trees are equal without docstrings; comments and formatting are in no
tree. A closure is a module with all that it imports from the package, at any depth.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from companion.files import fingerprint

PACKAGE = Path(__file__).resolve().parent
PLUMBING = frozenset({"companion.code", "companion.files"})  # where numbers are kept, not what they are


def semantics(path: str | Path) -> str:
    """Twelve hexadecimal digits that change when what a Python file computes may change.

    Raises:
        ValueError: it is no Python.
    """
    path = Path(path)
    stat = path.stat()
    return read(path, stat.st_mtime_ns, stat.st_size)[0]


def closure(*modules: str) -> dict[str, str]:
    """The files of modules such as `companion.models.ram` and of all that they import from the package.

    Imports inside functions count. A package's own `__init__` counts where something is imported from it.

    Returns:
        path from the folder that contains the package -> `semantics` of the file, sorted.

    Raises:
        ModuleNotFoundError: the package has no such module.
    """
    found: dict[str, str] = {}
    left = list(modules)
    while left:
        name = left.pop()
        path = source(name)
        if path is None:
            raise ModuleNotFoundError(f"the package has no module {name}")
        key = path.relative_to(PACKAGE.parent).as_posix()
        if key not in found and name not in PLUMBING:
            stat = path.stat()
            found[key], imported = read(path, stat.st_mtime_ns, stat.st_size)
            left += [other for other in imported if source(other)]
    return dict(sorted(found.items()))


def source(module: str) -> Path | None:
    """The file of a module of the package."""
    place = PACKAGE.parent / Path(*module.split("."))
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)


@cache
def read(path: Path, changed: int, size: int) -> tuple[str, tuple[str, ...]]:
    """Semantics of a file, and the names of the package that it imports; cached until the file changes."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is no Python ({error})") from None
    return fingerprint(dump(tree).encode()), tuple(imports(tree))


def dump(node: object) -> str:
    """A syntax tree as text, without docstrings, places in the file, and fields that are empty.

    Unlike `ast.dump` it gives the same text in every Python that has the same fields.
    """
    if isinstance(node, list):
        return f"[{','.join(map(dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
            fields["body"] = node.body[1:]
    return f"{type(node).__name__}({','.join(f'{name}={dump(value)}' for name, value in fields.items())})"


def imports(tree: ast.AST) -> Iterable[str]:
    """Names `companion...` that are imported anywhere in a tree, modules or what is in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("companion."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "companion":
            if node.module != "companion":
                yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
