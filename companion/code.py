"""What code computes: fingerprints of source files that a changed sentence leaves alone.

Two files compute the same if their syntax trees are equal without docstrings; comments and formatting are in
no tree. A closure is a module with all that it imports from the package, at any depth.
"""

import ast
import inspect
import json
import os
import sys
import textwrap
from collections.abc import Iterable
from functools import cache, lru_cache, partial
from pathlib import Path
from types import FunctionType, MethodType, ModuleType

import numpy as np

from companion.files import fingerprint

PACKAGE = Path(__file__).resolve().parent
PLUMBING = frozenset(  # where numbers are kept and asked for, not what they are
    f"companion.{room}"
    for room in "code datasets.cache files formats.simulated ops.compiled presets records".split()
)


def semantics(path: str | Path) -> str:
    """Twelve hexadecimal digits that change when what a Python file computes may change.

    Raises:
        ValueError: it is no Python.
    """
    path = Path(path)
    stat = path.stat()
    return read(path, stat.st_mtime_ns, stat.st_size)[0]


def closure(*modules: str, without: str = "") -> dict[str, str]:
    """The files of modules such as `companion.models.ram` and of all that they import from the package.

    Imports inside functions count. A package's own `__init__` counts where something is imported from it.

    Args:
        without: a package of which nothing counts.

    Returns:
        path from the folder that contains the package -> `semantics` of the file, sorted.

    Raises:
        ModuleNotFoundError: the package has no such module.
    """
    return dict(walked(modules, without, state()))


def state() -> tuple[tuple[str, int, int], ...]:
    """Each file of the package, when it was changed, and how long it is."""
    files = (os.path.join(folder, name) for folder, _, names in os.walk(PACKAGE) for name in names)
    stats = ((path, os.stat(path)) for path in files if path.endswith(".py") and os.path.isfile(path))
    return tuple(sorted((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats))


@lru_cache(256)
def walked(
    modules: tuple[str, ...], without: str, files: tuple[tuple[str, int, int], ...]
) -> tuple[tuple[str, str], ...]:
    """See `closure`; cached until a file of the package changes."""
    place = PACKAGE.parent
    keys = {Path(path).relative_to(place).as_posix(): (Path(path), *about) for path, *about in files}
    names = {key.removesuffix(".py").removesuffix("/__init__").replace("/", "."): key for key in keys}
    found: dict[str, str] = {}
    left = [*modules]
    while left:
        name = left.pop()
        if name not in names:
            raise ModuleNotFoundError(f"the package has no module {name}")
        key = names[name]
        if key not in found and name not in PLUMBING and not (without and name.startswith(without)):
            found[key], imported = read(*keys[key])
            left += [other for other in imported if other in names]
    return tuple(sorted(found.items()))


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
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
            fields["body"] = node.body[1:]
    fields = {name: value for name, value in fields.items() if value is not None and value != []}
    return f"{type(node).__name__}({','.join(f'{name}={dump(value)}' for name, value in fields.items())})"


def imports(tree: ast.AST) -> Iterable[str]:
    """Names `companion...` that are imported anywhere in a tree, modules or what is in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("companion."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "companion":
            if node.module != "companion":
                yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def defined(*objects: object) -> dict[str, str]:
    """What callables compute that are defined outside the package, in a notebook say: name -> fingerprint.

    What they use there counts as well: functions, classes, modules, numbers and arrays.

    Raises:
        ValueError: something that they use cannot be read or compared.
    """
    found: dict[str, str] = {}
    left = list(objects)
    while left:
        it = left.pop()
        if isinstance(it, partial):
            left += [it.func, *it.args, *it.keywords.values()]
        elif isinstance(it, MethodType):
            left += [it.__func__, type(it.__self__)]
        elif (inside := getattr(it, "__wrapped__", None)) is not None:
            left.append(inside)
        elif isinstance(it, ModuleType):
            if not foreign(it.__name__) and it.__file__:
                found[it.__name__] = semantics(it.__file__)
        elif isinstance(it, FunctionType | type):
            name = f"{it.__module__}.{it.__qualname__}"
            if name in found or foreign(it.__module__):
                continue
            try:
                tree = ast.parse(textwrap.dedent(inspect.getsource(it)).strip().rstrip(","))
            except (OSError, TypeError, SyntaxError):
                raise ValueError(
                    f"the source of {name} cannot be read, so that it cannot be compared; use def in a cell"
                ) from None
            used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            values = inspect.getclosurevars(it) if isinstance(it, FunctionType) else None
            known = {**values.globals, **values.nonlocals} if values else vars(sys.modules[it.__module__])
            parts = {n: known[n] for n in sorted(used & known.keys())}
            calls = {n: part for n, part in parts.items() if callable(part) or isinstance(part, ModuleType)}
            plain = [f"{n}={value(n, part)}" for n, part in parts.items() if n not in calls]
            found[name] = fingerprint([dump(tree).encode(), *(text.encode() for text in plain)])
            left += [*calls.values(), *(it.__mro__[1:] if isinstance(it, type) else ())]
        elif callable(it) and not foreign(getattr(it, "__module__", None) or "builtins"):
            name = f"{type(it).__module__}.{type(it).__qualname__} object"
            found[name] = fingerprint(value(name, vars(it)).encode())
            left.append(type(it))
        elif callable(it) and type(it).__module__.startswith("torch.nn"):
            found[f"{type(it).__qualname__} object"] = fingerprint(repr(it).encode())
    return found


def value(name: str, it: object) -> str:
    """A number, text, list, table or array as text, equal for equal ones.

    Raises:
        ValueError: it is something else.
    """
    if hasattr(it, "__array__"):
        array = np.asarray(it)
        return f"{array.dtype}{array.shape}{fingerprint(array.tobytes())}"
    try:
        return json.dumps(it, sort_keys=True)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} is a {type(it).__name__}, which cannot be compared; make it inside the function"
        ) from None


def foreign(module: str) -> bool:
    """Is a module the package's own, Python's, or an installed one, whose version stands in the record?"""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    packages = "site-packages" in file or "dist-packages" in file
    return packages or module.split(".")[0] in ("companion", "builtins", *sys.stdlib_module_names)
