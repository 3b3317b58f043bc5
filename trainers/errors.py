"""Every error this project raises on purpose.

::

    KDError
    ├── InputError              the user's input is wrong: exit code 2, nothing was computed or lost
    │   ├── SpecError           mistakes of a spec, all of them, each with its file and line
    │   └── BusyError           another process is running the same sweep
    ├── CheckpointError         a weight file or checkpoint that cannot be read or is not what it claims
    ├── DivergedError           a loss term became NaN or infinite: a result, not an accident
    ├── StorageError            the storage root cannot be written, or is full
    │   └── AwayError           the storage does not answer now, or has no room, which may pass
    └── MachineError            the machine does not let Ray start
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST = 300
"""Characters of a user's text that a message repeats."""


class KDError(Exception):
    """Root of the tree; its text is one message meant for the user."""


class InputError(KDError):
    """The user's input is wrong; the text says what, where, and what would be right."""


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake of a spec: where it stands and what would be right."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class SpecError(InputError):
    """All mistakes of one spec, in the order in which they stand in the file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(set(mistakes))
        count = len(self.mistakes)
        head = f"{count} mistake{'s' if count != 1 else ''} in the spec; nothing was started"
        super().__init__("\n".join([head, *(f"  {mistake}" for mistake in self.mistakes)]))

    def __reduce__(self) -> tuple[type[SpecError], tuple[list[Mistake]]]:
        return type(self), (self.mistakes,)


class BusyError(InputError):
    """Another process is running the same sweep."""


class CheckpointError(KDError):
    """A weight file or checkpoint that cannot be read, or is not what it claims to be."""


class DivergedError(KDError):
    """A loss term became NaN or infinite.

    Attributes: ``epoch`` and ``step`` (both counted from 1) and ``term``, the name of the loss term.
    """

    def __init__(self, term: str, epoch: int, step: int, value: float) -> None:
        self.term, self.epoch, self.step, self.value = term, epoch, step, value
        super().__init__(f"loss term '{term}' became {value} at epoch {epoch}, step {step}")

    def __reduce__(self) -> tuple[type[DivergedError], tuple[str, int, int, float]]:
        return type(self), (self.term, self.epoch, self.step, self.value)


class StorageError(KDError):
    """The storage root cannot be written, or is full."""


class AwayError(StorageError):
    """The storage does not answer, or has no room: nobody's mistake, and it may be otherwise in a minute."""


class MachineError(KDError):
    """The machine does not let Ray start."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist, with the valid names and a guess at what was meant."""
    names = sorted(known)
    guess = _guess(str(name), names)
    meant = f"did you mean '{guess}'? " if guess else ""
    return f"unknown {kind} '{shortened(str(name))}'; {meant}valid: {', '.join(names)}"


def _guess(name: str, names: list[str]) -> str | None:
    """What was meant: the name in another case, or without its '-', '_' or '.'; else the nearest one."""
    for form in (str.casefold, _squeezed, lambda text: sorted(text.casefold())):  # the last: letters in the wrong order
        same = [other for other in names if form(other) == form(name)]
        if same:
            return difflib.get_close_matches(name, same, n=1, cutoff=0)[0]
    by_form = {other.casefold(): other for other in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), by_form, n=1, cutoff=0.6)
    return by_form[close[0]] if close else None


def _squeezed(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def printable(text: str) -> str:
    """A text without what would steer a terminal: escapes stand in its place."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def text_of(error: BaseException) -> str:
    """What an error says of itself; nothing where even that raises an error, as it may in a class of the user's."""
    try:
        return str(error)
    except Exception:
        return ""


def kind_of(error: BaseException) -> str:
    """The name of an error's class, which no class can hide."""
    return str(type.__dict__["__name__"].__get__(type(error)))


def shortened(text: str) -> str:
    """A user's text as a message repeats it: no longer than a path is."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
