"""What would be right where a value is wrong only by how it is written: in quotes, without them, as other tools do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from search_spaces.spellings import ours
from search_spaces.yaml_lines import Document
from search_spaces.yaml_numbers import padded
from trainers.errors import SpecError

LONGEST = 100
"""Characters of a text that may be something else without its quotes."""
Fits = Callable[[Any], bool]
"""Whether a value would be right."""


def hint(value: Any, written: str | None, fits: Fits, several: bool = True) -> str:
    """What to add to the message about a wrong value: how it would be right; empty where that cannot be told.

    Args:
        value: that is wrong.
        written: as it stands in the file, where it is no text.
        fits: whether another value would be right in its place.
        several: whether a grid or a search could stand there.
    """
    if isinstance(value, str):
        number = padded(value)
        if number is not None and fits(unquoted(number)):
            return f"; write {number}"
        if _fits(unquoted(value), fits, several):
            return f"; write it without quotes: {value}"
    if written and fits(written):
        return f"; put it in quotes: '{written}'"
    spelling = ours(value)
    if spelling is not None and spelling.listed and fits(unquoted(spelling.listed)):
        return f"; write {spelling.listed}"
    return "" if spelling is None or not several else f"; {spelling.answer}"


def as_list(value: Any) -> str:
    """The same for a text where a list is wanted: the list, which may have been written without its brackets."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) and len(value) <= LONGEST else [""]
    return f"; write [{', '.join(parts)}]" if all(parts) else ""


def unquoted(text: str) -> Any:
    """What a text would be in a spec without its quotes; None where that is no text and nothing else."""
    if len(text) > LONGEST or "\n" in text:
        return None
    try:
        document = Document(text, "")
    except SpecError:
        return None
    return None if document.mistakes or isinstance(document.data, str) else document.data


def _fits(value: Any, fits: Fits, several: bool) -> bool:
    if several and isinstance(value, list) and value and not fits(value):
        return all(fits(item) for item in value)
    return value is not None and fits(value)
