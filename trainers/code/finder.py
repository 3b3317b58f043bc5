"""How Python finds the modules of the code that is loaded: by their own names, from their text."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import CodeType, ModuleType

from trainers.code.files import NO_CODE, Code


class _Loader(Loader):
    """Runs one module from its text. Tracebacks and debuggers show its lines: they ask :meth:`get_source`."""

    def __init__(self, code: Code, module: str) -> None:
        self._text = code.texts.get(code.modules[module], "")
        self.path = code.shown(code.modules[module])

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """None: the usual kind of module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the text in the module, which knows its file as any other does."""
        if self.path:
            module.__file__ = self.path
        exec(compile(self._text, self.path, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, fullname: str) -> str:
        """The text."""
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        """The text, compiled."""
        return compile(self._text, self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds the modules of the code that is loaded, before all that lies on the disk."""

    def __init__(self) -> None:
        self.code = NO_CODE

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """How a module of the code is loaded; None for all others."""
        if fullname not in self.code.modules:
            return None
        loader = _Loader(self.code, fullname)
        return spec_from_loader(fullname, loader, origin=loader.path, is_package=self.code.is_package(fullname))


FINDER = Finder()
"""The one of this process."""


def current() -> Code:
    """What this process has loaded."""
    return FINDER.code
