"""The spec's `table` beside its plan: every row and column that it names must be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.table import MEAN, column
from search_spaces.yaml_lines import Document
from sweep.plan.labels import meant, printed_name
from trainers.errors import SpecError, shortened

if TYPE_CHECKING:
    from search_spaces.schema import Spec

TEACHERS = "teacher"
"""What the row of the teachers is called."""


def table_of(spec: Spec, methods: Mapping[str, str], pairs: Mapping[str, str]) -> dict[str, Any]:
    """The spec's `table` as the plan has it: what is not the default, columns by the plan's names of pairs.

    Args:
        spec: whose table it is.
        methods: of all rows, by label.
        pairs: the plan's names of pairs, by the spec's.

    Raises:
        SpecError: with every name, row or column that is not there, and its line.
    """
    table = spec.table.model_dump(mode="json", exclude_defaults=True)
    if not table:
        return {}
    document = Document(spec.text, spec.source)
    for key in ("names", "rows", "order"):
        for place, name in _places(table.get(key) or ()):
            if not meant(name, methods):
                known = _listed(dict.fromkeys([*methods, *methods.values()]))
                document.add(("table", key, place), f"no row or method '{shortened(name)}'; there are {known}")
    columns = {**pairs, **{name: name for name in pairs.values()}, MEAN: MEAN}
    _check_columns(document, table.get("columns") or (), columns)
    _check_names(document, spec.table.names, methods)
    if document.mistakes:
        raise SpecError(document.mistakes)
    if "columns" in table:
        table["columns"] = [columns[column(text)] for text in table["columns"]]
    return table


def _check_columns(document: Document, texts: Iterable[str], columns: Mapping[str, str]) -> None:
    """Each column is there, and none stands twice under two spellings."""
    seen = set[str]()
    for place, text in _places(texts):
        name = columns.get(column(text))
        if name is None:
            document.add(("table", "columns", place), f"no column '{shortened(text)}'; there are {_listed(columns)}")
        elif name in seen:
            document.add(("table", "columns", place), f"'{name}' stands twice under columns")
        seen |= {name} if name else set()


def _check_names(document: Document, names: Mapping[str, str], methods: Mapping[str, str]) -> None:
    """No two rows are printed under one name, and none under that of the teachers' row."""
    seen: dict[str, str] = {}
    for label, method in methods.items():
        name = printed_name(label, names, method)
        if name == TEACHERS and name != label:
            document.add(("table", "names"), f"'{label}' would be printed as '{name}', as the row of the teachers is")
        if name in seen:
            document.add(("table", "names"), f"'{seen[name]}' and '{label}' would both be printed as '{name}'")
        seen.setdefault(name, label)


def _places(some: Iterable[str]) -> list[tuple[str | int, str]]:
    """Where each entry stands, and what it is: keys of a mapping, or entries of a list by number."""
    return [(name, name) for name in some] if isinstance(some, dict) else list(enumerate(some))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
