"""Where a module can be mutated, and into what.

Not mutated is what no test should hold: annotations, ``__all__``, the text of errors, how a class is decorated, the
`strict` of a `zip`, and sizes that only the eye sees.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
RECKONED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
}
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
NOT_MUTATED = frozenset(
    {"strict", "frozen", "slots", "kw_only", "width", "min_width", "padding", "indent", "stacklevel"}
)
"""Names of arguments."""
NOT_NUMBERS = (ast.List, ast.ListComp, ast.Tuple, ast.JoinedStr)


@dataclass(frozen=True)
class Site:
    """One mutant of a module."""

    number: int
    """Its place among the module's mutants."""
    line: int
    first: int
    """First and last line of the statement it stands in, of a compound one without its body."""
    last: int
    called: bool
    """Whether a call runs it; otherwise the import of its module."""
    before: str
    after: str


def sites(source: str) -> list[Site]:
    """All mutants of a module's source."""
    return [_site(number, *found) for number, found in enumerate(_found(ast.parse(source)))]


def mutated(source: str, number: int) -> str:
    """The source with its mutant of that number, without comments."""
    tree = ast.parse(source)
    node, new, *_ = list(_found(tree))[number]
    return ast.unparse(ast.fix_missing_locations(_Replace(node, new).visit(tree)))


def _site(number: int, node: ast.AST, new: ast.AST, statement: ast.stmt, called: bool) -> Site:
    line = getattr(node, "lineno", statement.lineno)
    body = getattr(statement, "body", None)
    last = max(statement.lineno, body[0].lineno - 1) if body else statement.end_lineno or statement.lineno
    first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
    return Site(number, line, first, max(last, line), called, _text(node), _text(new))


def _text(node: ast.AST) -> str:
    return ast.unparse(node)


def _found(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST, ast.stmt, bool]]:
    """Each node that can be mutated, what takes its place, the statement it is in, and whether a call runs it."""
    for statement in _children(tree):
        if isinstance(statement, ast.stmt):
            yield from _within(statement, statement, False)


def _within(node: ast.AST, statement: ast.stmt, called: bool) -> Iterator[tuple[ast.AST, ast.AST, ast.stmt, bool]]:
    for new in _instead(node):
        yield node, new, statement, called
    body = getattr(node, "body", ()) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ()
    for child in _children(node):
        inside = called or isinstance(node, ast.Lambda) or child in body
        yield from _within(child, child if isinstance(child, ast.stmt) else statement, inside)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What of a node is looked into."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _passed_over(child):
                yield child


def _passed_over(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in NOT_MUTATED
    if isinstance(node, ast.Assign):
        return _text(node.targets[0]) == "__all__"
    return isinstance(node, ast.If) and _text(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _instead(node: ast.AST) -> Iterator[ast.AST]:
    """What could stand in a node's place by mistake."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            yield _with(node, ops=[COMPARED[type(op)]()])
        case ast.BinOp(op=op) if type(op) in RECKONED and not (_no_number(node.left) or _no_number(node.right)):
            yield _with(node, op=RECKONED[type(op)]())
        case ast.AugAssign(op=op) if type(op) in RECKONED and not _no_number(node.value):
            yield _with(node, op=RECKONED[type(op)]())
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant(value=bool() as value):
            yield _with(node, value=not value)
        case ast.Constant(value=int() | float() as value):
            yield _with(node, value=value + 1)
        case ast.IfExp():
            yield _with(node, body=node.orelse, orelse=node.body)
        case ast.Call(func=ast.Name(id=name)) if name in CALLED:
            yield _with(node, func=ast.Name(CALLED[name], ast.Load()))
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.If() | ast.While() if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.comprehension(ifs=[_, *_]):
            yield _with(node, ifs=[])


def _no_number(node: ast.AST) -> bool:
    return isinstance(node, NOT_NUMBERS) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _with(node: ast.AST, **fields: object) -> ast.AST:
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class _Replace(ast.NodeTransformer):
    def __init__(self, node: ast.AST, new: ast.AST) -> None:
        self.node, self.new = node, new

    def visit(self, node: ast.AST) -> ast.AST:
        """The same tree with the one node replaced."""
        return self.new if node is self.node else self.generic_visit(node)
