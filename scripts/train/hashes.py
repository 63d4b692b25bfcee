"""What a stage of the chain is made of, as hashes: files, folders, and the code that a module runs.

Of code the meaning counts: comments, docstrings and layout may change.
"""

import ast
import hashlib
import os
from functools import cache
from pathlib import Path

_SHORT = 16
"""Hex digits of a hash that are kept: enough to see that something is another."""


def hash_of(path: Path) -> str:
    """Of a file its bytes; of a folder the names and bytes of all files in it, at any depth.

    Raises OSError where something cannot be read.
    """
    if not path.is_dir():
        return _file(path)
    whole = hashlib.sha256()
    names = (Path(top, name) for top, _, found in os.walk(path) for name in found)
    for name, file in sorted((str(file.relative_to(path)), file) for file in names):
        whole.update(f"{name}\0{_file(file)}\n".encode())
    return whole.hexdigest()[:_SHORT]


def _file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_SHORT]


def code_of(module: str, root: Path) -> dict[str, str]:
    """The hash of a module's file below `root` and of all others there that it imports, directly or
    not; by their paths. Raises FileNotFoundError for a module that is not there.
    """
    start = _place(root, module)
    if start is None:
        raise FileNotFoundError(f"there is no module {module} in {root}")
    found, waiting = dict[str, str](), [start]
    while waiting:
        path = waiting.pop()
        name = str(path.relative_to(root))
        if name not in found:
            found[name], names = _read(path, path.stat().st_mtime_ns)
            waiting += [place for one in names if (place := _place(root, one)) is not None]
    return dict(sorted(found.items()))


@cache
def _read(path: Path, changed: int) -> tuple[str, list[str]]:
    """Hash and imports of one file, as it was when it `changed`."""
    del changed
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = imports(tree)
    stub = path.with_suffix(".pyi")  # a room whose names come when they are asked for
    if path.name == "__init__.py" and stub.is_file():
        names += imports(ast.parse(stub.read_text(encoding="utf-8")))
    return hashlib.sha256(meaning(tree).encode()).hexdigest()[:_SHORT], names


def imports(tree: ast.AST) -> list[str]:
    """Every module that is imported anywhere, and what may be one: `a.b` of `from a import b`;
    with the packages that they lie in.
    """
    found = list[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    parts = [name.split(".") for name in found]
    return sorted({".".join(one[: k + 1]) for one in parts for k in range(len(one))})


def meaning(tree: ast.AST) -> str:
    """What a file says without its docstrings and other strings that stand alone, as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [one for one in node.body if not _is_text(one)] or [ast.Pass()]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _place(root: Path, module: str) -> Path | None:
    """Where a module lies below `root`; None for what is not the project's."""
    path = root / module.replace(".", "/")
    for one in (path.with_suffix(".py"), path / "__init__.py"):
        if one.is_file():
            return one
    return None
