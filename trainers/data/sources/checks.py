"""What every source checks of the labels that it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trainers.data.base import several_classes
from trainers.errors import InputError

Where = Callable[[int], str]
"""Names the image at a position, for a message."""
SHOWN = 3
"""Classes that a message names before it only counts them."""
LONGEST = 80
"""Characters of a label or a name that a message shows."""


def shown(value: object) -> str:
    """A value out of a file, for a message: text and numbers, cut where they are long; of all else only the type."""
    plain = value is None or isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 10**LONGEST)
    text = str(value) if plain else f"of type {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def check_labels(labels: Sequence[object], classes: int, where: Where, advice: str = "") -> list[int]:
    """The labels as whole numbers.

    Raises:
        InputError: for the first that is none of ``0 ... classes - 1``.
    """
    for position, label in enumerate(labels):
        if not isinstance(label, int) or not 0 <= label < classes:
            raise InputError(f"{where(position)}: label {shown(label)} is not one of 0 to {classes - 1}{advice}")
    return [int(label) for label in labels if isinstance(label, int)]


def check_classes(labels: Sequence[int], classes: Sequence[str], what: str, more: str = "") -> None:
    """Whether there are classes to tell apart, each with a training image; raises InputError, which names `what`, and
    says `more` of a class without one.

    The test split may lack some.
    """
    several_classes(classes, what)
    present = set(labels)
    missing = [name for label, name in enumerate(classes) if label not in present]
    if missing:
        raise InputError(f"{what}: no training image of class {named(missing)}{more}")


def named(classes: Sequence[str]) -> str:
    """The first few of some classes, for a message, and how many more there are."""
    more = f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in classes[:SHOWN]) + more
