"""Putting a user's own thing under a name, and saying where it stands when that fails."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

from trainers.errors import InputError
from trainers.registry import Registry

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,63}")
"""What a spec can call it: no space, no ``:`` and no ``@``, which mean something there."""


@dataclass(frozen=True)
class Origin:
    """Where something of a user's is defined."""

    module: str
    """The one whose content decides what it is."""
    file: str
    line: int

    @classmethod
    def of(cls, given: Any) -> Origin:
        """Of what is being registered: a function, a class, or anything that somebody else has made.

        Its module is the one that is being imported, since all that has a part in it is imported from there: what
        `given` is made of may stand in another one, of torchvision's say.
        """
        frame = _importing()
        defined = getattr(given, "__module__", None) or ""
        module = defined if frame is None else frame.f_globals["__name__"]
        if frame is not None and defined != module:
            return cls(module, frame.f_code.co_filename, frame.f_lineno)
        code = getattr(inspect.unwrap(given) if callable(given) else given, "__code__", None)
        if code is not None:
            return cls(module, code.co_filename, code.co_firstlineno)
        return cls(module, getattr(sys.modules.get(module), "__file__", None) or module, _line(given))

    @classmethod
    def here(cls, frame: FrameType) -> Origin:
        """Of a call that a frame has made."""
        top = _importing() or frame
        return cls(top.f_globals.get("__name__", ""), frame.f_code.co_filename, frame.f_lineno)

    def refuse(self, why: str) -> InputError:
        """The error for what cannot be registered."""
        return InputError(f"{self.file}:{self.line}: {why}")


def _importing() -> FrameType | None:
    """The innermost frame that runs a module's own lines; None where no module is being imported, in a test say."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if frame.f_code.co_name == "<module>" and name in sys.modules and name != "__main__":
            return frame
        frame = frame.f_back
    return None


def _line(given: Any) -> int:
    try:
        return inspect.getsourcelines(given)[1]
    except (OSError, TypeError):  # typed into a shell, or compiled
        return 1


def register(registry: Registry[T], name: object, entry: T, origin: Origin) -> None:
    """Put `entry` under `name`. Raises InputError where the name is none, or taken."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise origin.refuse(
            f"{name!r} is no name for a {registry.what}: it begins with a letter, then letters, digits, '_', '+' or '-'"
        )
    try:
        registry.add(name, entry, origin.module)
    except ValueError as error:
        raise origin.refuse(f"{error}; give yours another name") from error
