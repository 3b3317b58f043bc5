"""How a pair names its teacher, and what it may say of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from search_spaces.files import is_file
from search_spaces.schema import Pair
from trainers.config import Normalisation
from trainers.errors import shortened
from trainers.storage.endings import named_as_weights

Kind = Literal["architecture", "stored", "file"]


def kind_of(teacher: str) -> Kind:
    """What a name is that of: an architecture, a stored teacher, or a file, which is there or named as weights are."""
    from trainers.models import MODELS

    architecture, at, _ = teacher.partition("@")
    if teacher not in MODELS and (named_as_weights(teacher) or (architecture not in MODELS and is_file(teacher))):
        return "file"
    return "stored" if at else "architecture"


def why_not_said(pair: Pair, said: Normalisation | None, before: Iterable[Pair]) -> str | None:
    """Why a pair cannot say what its teacher's images are normalised by; None where it can.

    Args:
        pair: as it names its teacher.
        said: what it says, or that it says nothing.
        before: the pairs that stand before it in the spec.
    """
    if said is not None and pair.kind != "file":
        kept = "a stored one has its own in its passport" if pair.kind == "stored" else "others have the data set's"
        return f"mean and std are said of a teacher in a file; {kept}"
    if any(other.teacher == pair.teacher and other.normalisation != said for other in before):
        return f"another pair of {shortened(pair.teacher)} says another mean and std (`teacher:`), or none"
    return None
