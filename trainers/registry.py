"""One dict per kind of thing, which refuses duplicates and names what it knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Generic, TypeVar

from trainers.errors import InputError, unknown_name

T = TypeVar("T")


_registries: list[Registry[Any]] = []
"""All of them, since a module may register several kinds of things."""


class Registry(Mapping[str, T], Generic[T]):
    """Names of one kind (`what`, as in "unknown method 'dkhd'") and what they stand for."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}
        self._modules: dict[str, str] = {}
        _registries.append(self)

    def add(self, name: str, entry: T, module: str = "") -> T:
        """Register `entry`.

        Args:
            name: what a spec calls it.
            entry: what it stands for.
            module: the user's module that defines it; empty for what is ours.

        Raises:
            ValueError: when the name is taken.
        """
        if name in self._entries:
            owner = f" in {self._modules[name]}" if self._modules[name] else ""
            raise ValueError(f"{self.what} '{name}' is registered already{owner}")
        self._entries[name] = entry
        self._modules[name] = module
        return entry

    def module(self, name: str) -> str:
        """The user's module that defines `name`; empty for what is ours, or not here."""
        return self._modules.get(name, "")

    def forget(self, modules: Collection[str]) -> None:
        """Leave out what these modules have registered."""
        for name in [name for name, module in self._modules.items() if module and module in modules]:
            del self._entries[name], self._modules[name]

    def register(self, name: str) -> Callable[[T], T]:
        """:meth:`add` as a decorator."""
        return lambda entry: self.add(name, entry)

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise InputError(self.unknown(name))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def unknown(self, name: object) -> str:
        """The sentence for a name that is not here."""
        return unknown_name(self.what, name, self._entries)


def forget(modules: Collection[str]) -> None:
    """Leave out what these modules have registered, of every kind."""
    for registry in _registries:
        registry.forget(modules)


def modules() -> set[str]:
    """The users' modules that have registered something."""
    return {registry.module(name) for registry in _registries for name in registry} - {""}
