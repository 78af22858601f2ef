"""The lines that the code may log at warning and above, by reading the code: for the comparison with docs/logs.md."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = ("bus", "edges", "producers", "clients", "edgebus")
_METHODS: Final = {"warning", "error", "exception", "critical", "log"}
_MISHAPS: Final = ("self", "self._mishaps", "mishaps")
_ASIDE: Final = ("edgebus/lab/", "edgebus/demo/", "producers/pytest_plugin.py")
"""Programs of developers, whose logs no operator reads."""


def lines_of_code() -> dict[str, set[str]]:
    """Return each constant text of a line that may be a warning or worse, with the files that log the text."""
    found: dict[str, set[str]] = {}
    for path in sorted(it for room in ROOMS for it in (ROOT / room).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(_ASIDE):
            for text in _texts(ast.parse(path.read_text())):
                found.setdefault(text, set()).add(name)
    return found


def _texts(tree: ast.Module) -> Iterator[str]:
    constants = _named(tree.body)
    for function in (it for it in ast.walk(tree) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)):
        names = constants | _named(list(ast.walk(function)))
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and (told := _told(node)) is not None:
                yield from _strings(told, names)
    for node in (it for statement in tree.body if isinstance(statement, ast.AnnAssign) for it in ast.walk(statement)):
        if isinstance(node, ast.Call) and (told := _told(node)) is not None:
            yield from _strings(told, constants)


def _told(call: ast.Call) -> ast.expr | None:
    """Return the text of a call that logs, or that makes a line of a flood; None for any other call."""
    match call.func:
        case ast.Name("Told"):  # of any level: a hundred in a second are a warning
            return call.args[0]
        case ast.Attribute(ast.Name() | ast.Attribute() as logger, method) if method in _METHODS:
            if "logger" not in ast.unparse(logger) and ast.unparse(logger) != "_log":
                return None
            return call.args[1 if method == "log" else 0]
        case ast.Attribute(it, "note") if len(call.args) > 2 and ast.unparse(it) in _MISHAPS:
            return call.args[2]
        case _:
            return None


def _named(statements: Sequence[ast.AST]) -> dict[str, ast.expr]:
    """Return the values that have a name."""
    annotated = {
        it.target.id: it.value
        for it in statements
        if isinstance(it, ast.AnnAssign) and isinstance(it.target, ast.Name) and it.value is not None
    }
    plain = [it for it in statements if isinstance(it, ast.Assign) and isinstance(it.targets[0], ast.Name)]
    return annotated | {it.targets[0].id: it.value for it in plain if isinstance(it.targets[0], ast.Name)}


def _strings(node: ast.expr, names: Mapping[str, ast.expr]) -> Iterator[str]:
    match node:
        case ast.Constant(str(text)):
            yield text
        case ast.Name(name) if name in names:
            yield from _strings(names[name], {})
        case ast.IfExp():
            yield from _strings(node.body, names)
            yield from _strings(node.orelse, names)
