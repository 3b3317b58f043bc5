"""Methods and models examined in a process apart, which is ended where a user's code does not end by itself.

What is examined has a time for each requirement. An alarm breaks off what runs in Python (:mod:`trainers.code.limit`);
what it does not reach is ended with its process, by a thread of Python's own that needs no turn at the interpreter and
writes down where the code stood. The next method or model then gets a process of its own.
"""

from __future__ import annotations

import faulthandler
import re
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from functools import cache, partial
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from sweep.cli.apart import Apart, Tell
from trainers.errors import InputError, KDError

if TYPE_CHECKING:
    from trainers.contract import Verdict

HARD = 1.5
"""After so many times the time of a requirement, its process ends."""
FRAME = re.compile(r'^  File "(.*)", line (\d+) in ', re.MULTILINE)
"""A line of what the interpreter writes down, the innermost of a thread's first."""
Subjects = tuple[dict[str, dict[str, Any]], list[str]]
"""Methods with their hyperparameters, and models."""


class Row(NamedTuple):
    """What came of one requirement, as :class:`trainers.contract.Verdict` has it."""

    subject: str
    requirement: str
    holds: bool | None
    found: str


@dataclass
class Examination:
    """All that is examined, and what has come of it so far."""

    choose: Callable[[], Subjects]
    """Says what, once the user's code is loaded: it is called in the process apart."""
    seconds: float
    """For each requirement; 0: without end."""
    places: tuple[str, ...]
    """Where the user's code lies: files, and folders of such."""
    methods: int = 0
    models: int = 0
    """How many of each there are."""
    expected: list[tuple[int, str, str]] = field(default_factory=list)
    """Of each row to come, once that is known: the subject's number and name, and the requirement."""
    rows: list[Row] = field(default_factory=list)

    def run(self, say: Callable[[str], None]) -> None:
        """Examine all, and `say` what is being done.

        Raises:
            InputError: where there is nothing to examine, or the user's files cannot be read.
        """
        while not self._complete:
            with tempfile.TemporaryFile("w+", encoding="utf-8") as stood, Apart(partial(self._work, stood)) as process:
                for kind, content in process.told():
                    self._heard(kind, content)
                    say(self._now())
                if not self._complete:
                    self._broken(process.ending(), stood)

    @property
    def _complete(self) -> bool:
        return bool(self.expected) and len(self.rows) == len(self.expected)

    def _now(self) -> str:
        if self._complete:
            return "done"
        _, subject, requirement = self.expected[len(self.rows)]
        return f"checking {subject}: {requirement}"

    # -- in the process apart --------------------------------------------------------------------------------------

    def _work(self, stood: IO[str], tell: Tell) -> None:
        faulthandler.disable()  # where it is at work already, it would not see that another has taken its signals
        faulthandler.enable(stood)
        import torch

        torch.set_num_threads(1)  # the networks are so small that threads wait for each other alone
        try:
            with self._ended_late(stood):
                subjects, places = self._chosen()
        except KDError as error:
            return tell(["refused", str(error)])
        examinees = _examinees(subjects)
        expected = [
            (number, one.subject, str(requirement))
            for number, one in enumerate(examinees)
            for requirement in one.requirements
        ]
        tell(["found", [*map(len, subjects), expected, places]])
        done = self.expected[len(self.rows)][0] if self.rows else 0
        verdicts = chain.from_iterable(one.verdicts(self.seconds) for one in examinees[done:])
        while True:
            with self._ended_late(stood):
                verdict = next(verdicts, None)
            if verdict is None:
                return None
            tell(["row", astuple(verdict)[: len(Row._fields)]])

    def _chosen(self) -> tuple[Subjects, list[str]]:
        from trainers.code import OverdueError, current, limited

        try:
            with limited(self.seconds):
                subjects = self.choose()
        except OverdueError as error:
            frames = traceback.extract_tb(error.__traceback__)
            raise InputError(
                self._placed(str(error), [(one.filename, one.lineno) for one in reversed(frames)])
            ) from error
        code = current()
        return subjects, [code.shown(path) for path in code.texts]

    @contextmanager
    def _ended_late(self, stood: IO[str]) -> Iterator[None]:
        if self.seconds:
            faulthandler.dump_traceback_later(self.seconds * HARD, exit=True, file=stood)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    # -- in this one -----------------------------------------------------------------------------------------------

    def _heard(self, kind: str, content: Any) -> None:
        if kind == "refused":
            raise InputError(content)
        if kind == "found":
            self.methods, self.models, self.expected, places = content
            self.places = tuple(places) or self.places
        else:
            self.rows.append(Row(*content))

    def _broken(self, ended: str, stood: IO[str]) -> None:
        """Note what a process leaves that was ended before its work was: what broke, and what was not tried for it."""
        found = self._told(ended, stood)
        if not self.expected:
            raise InputError(found)
        broken, subject, requirement = self.expected[len(self.rows)]
        self.rows.append(Row(subject, requirement, False, found))
        for number, _, other in self.expected[len(self.rows) :]:
            if number == broken:
                self.rows.append(Row(subject, other, None, f"not tried: first mend '{requirement}'"))

    def _told(self, ended: str, stood: IO[str]) -> str:
        stood.seek(0)
        text = stood.read()
        if text.startswith("Timeout"):
            ended = f"did not end within {self.seconds:g} s, and could not be broken off"
        return self._placed(ended, FRAME.findall(text))

    def _placed(self, what: str, frames: Iterable[tuple[str, object]]) -> str:
        """With the innermost of the user's lines; frames are files with lines, the innermost first."""
        return next((f"{file}:{line}: {what}" for file, line in frames if file.startswith(self.places)), what)


@dataclass(frozen=True)
class Examinee:
    """A method or a model that is put to what it must hold."""

    subject: str
    make: Callable[[], Any]
    requirements: tuple[Any, ...]

    def verdicts(self, seconds: float) -> Iterator[Verdict]:
        """One for each requirement."""
        from trainers.contract import examine

        return examine(self.subject, self.make, self.requirements, seconds)


def _examinees(subjects: Subjects) -> list[Examinee]:
    from trainers.contract import METHOD, MODEL, Case, ModelCase

    def anew(roomy: Callable[[], Case]) -> Case:
        return replace(roomy())

    methods, models = subjects
    roomy = {name: cache(partial(Case.roomy, name, params)) for name, params in methods.items()}
    return [Examinee(name, partial(anew, roomy[name]), METHOD) for name in methods] + [
        Examinee(name, partial(ModelCase, name), MODEL) for name in models
    ]
