"""How a spec has its table printed: names, order, rows and columns, decimals, LaTeX. No number and no key changes."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from trainers.config import Frozen

MEAN = "mean"
"""The column of the mean over all pairs, among pairs."""
ARROWS = re.compile(r"\s*(?:->|→)\s*")
LONGEST_NAME, MOST_DECIMALS = 200, 6


def _printable(name: str) -> str:
    """A name as it is printed, without spaces around it. Raises ValueError for one that nobody can read in a line."""
    name = name.strip()
    line = len(name.splitlines()) == 1 and not any(unicodedata.category(character) == "Cc" for character in name)
    if not line or len(name) > LONGEST_NAME or not any(character.isprintable() for character in name):
        raise ValueError(f"must be one line of 1 to {LONGEST_NAME} characters, some visible")
    return name


Name = Annotated[str, AfterValidator(_printable)]
"""One printed line."""
Names = Annotated[tuple[Name, ...], Field(min_length=1)]


class Table(Frozen):
    """How the table is printed."""

    names: dict[str, Name] = Field(default_factory=dict)
    """Printed names, by a row's label or by a method: ``{mykd: AngleKD (ours)}``."""
    rows: Names | None = None
    """The rows that are shown, in this order: labels, or methods with all their rows."""
    order: Names | None = None
    """The rows that stand first, in this order; the others follow."""
    columns: Names | None = None
    """The columns that are shown, in this order: pairs, and ``mean``."""
    deltas: bool = True
    """Whether the differences to the baseline have columns."""
    decimals: int = Field(2, ge=0, le=MOST_DECIMALS)
    """Of accuracies and differences."""
    label: str = Field("", pattern=r"^[A-Za-z0-9:._-]{0,100}$")
    r"""LaTeX's ``\label``."""
    caption: str = Field("", pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]{0,2000}$")
    """LaTeX's caption; what it would be otherwise then stands below the table."""

    @model_validator(mode="after")
    def _plain(self) -> Table:
        if self.rows and self.order:
            raise ValueError("rows shows these alone, in this order, and order puts these first: give one of the two")
        for what, some in (("rows", self.rows), ("order", self.order), ("columns", self.columns)):
            twice = next((one for one in some or () if list(some or ()).count(one) > 1), None)
            if twice is not None:
                raise ValueError(f"'{twice}' stands twice under {what}")
        return self


PLAIN = Table()
"""As it is without a word in the spec."""


def column(text: str) -> str:
    """A column as the table has it: ``resnet20→resnet8`` of ``resnet20 -> resnet8``."""
    return "→".join(ARROWS.split(text.strip()))
