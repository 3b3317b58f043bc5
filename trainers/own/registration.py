"""Putting a user's own thing under a name, and saying where it stands when that fails."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass
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
    file: str
    line: int

    @classmethod
    def of(cls, given: Any) -> Origin:
        """Of a function or a class."""
        code = getattr(inspect.unwrap(given) if callable(given) else given, "__code__", None)
        if code is not None:
            return cls(given.__module__, code.co_filename, code.co_firstlineno)
        spec = getattr(sys.modules.get(given.__module__), "__spec__", None)
        return cls(given.__module__, getattr(spec, "origin", None) or given.__module__, _line(given))

    def refuse(self, why: str) -> InputError:
        """The error for what cannot be registered."""
        return InputError(f"{self.file}:{self.line}: {why}")


def _line(given: Any) -> int:
    try:
        return inspect.getsourcelines(given)[1]
    except (OSError, TypeError):  # typed into a shell
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
