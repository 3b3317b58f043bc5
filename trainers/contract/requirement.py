"""A requirement, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from trainers.code import THEIRS, OverdueError, limited, theirs, told

Subject = TypeVar("Subject")


class Remark(str):
    """What is worth knowing, but nothing that must be mended."""


@dataclass(frozen=True)
class Requirement(Generic[Subject]):
    """Something that must hold of a method, or of a model."""

    name: str
    """In a few words, as the table has it."""
    check: Callable[[Subject], str | None]
    """Gives nothing where it holds, else what is wrong in one sentence; a :class:`Remark` where it holds and there is
    something to say. Whatever the user's code raises is handed on."""
    gate: bool = False
    """Whether nothing else can be judged where this does not hold."""

    def __str__(self) -> str:
        return self.name

    def wrong(self, subject: Subject) -> str | None:
        """What is wrong; None where it holds. Raises what the user's code raises, or that it does not end
        (:func:`trainers.code.limited`)."""
        with limited():
            found = self.check(subject)
        return None if isinstance(found, Remark) else found


@dataclass(frozen=True)
class Verdict:
    """What came of one requirement."""

    subject: str
    requirement: str
    holds: bool | None
    """None: not tried, since a requirement before it does not hold."""
    found: str = ""
    """What is wrong, or a remark."""
    ended: bool = True
    """False where its time was over."""


def examine(
    name: str, make: Callable[[], Subject], requirements: Iterable[Requirement[Subject]], seconds: float | None = None
) -> Iterator[Verdict]:
    """Try one requirement after the other. Where one does not end, none of the others is tried: it would not either.

    Args:
        name: of what is tried, for the verdicts.
        make: gives it anew for each, so that none meets what another has left behind.
        requirements: those to try, in this order.
        seconds: the time that each has (:func:`trainers.code.limited`).

    Yields:
        A verdict each. An error of the user's code is what is wrong, with its file and line.
    """
    broken = ""
    for requirement in requirements:
        if broken:
            yield Verdict(name, requirement.name, None, f"not tried: first mend '{broken}'")
            continue
        verdict = _verdict(name, make, requirement, seconds)
        if not verdict.ended or (requirement.gate and not verdict.holds):
            broken = requirement.name
        yield verdict


def _verdict(
    name: str, make: Callable[[], Subject], requirement: Requirement[Subject], seconds: float | None
) -> Verdict:
    try:
        with theirs(), limited(seconds):
            found = requirement.check(make())
    except THEIRS as error:  # whatever a user's code raises is what is wrong with it
        return Verdict(name, requirement.name, False, told(error), ended=not isinstance(error, OverdueError))
    return Verdict(name, requirement.name, found is None or isinstance(found, Remark), found or "")
