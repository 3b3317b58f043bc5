"""The files themselves: which modules they are, what they say, and what depends on what."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path

from trainers.code.syntax import digest, imports, parsed
from trainers.errors import InputError
from trainers.storage.content import canonical_json, content_key
from trainers.storage.inputs import readable

MOST_BYTES = 2**20
"""Of all files together."""
MOST_FILES = 1_000
INIT = "__init__.py"


@dataclass(frozen=True)
class Code:
    """Files of a user's: immutable, equal where their content is."""

    files: tuple[tuple[str, str], ...] = ()
    """Path and text of each, sorted: ``my_losses.py``, ``mypaper/__init__.py``."""
    folders: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """Where a file or folder at the top was read, by its name; empty where the files have come from elsewhere."""

    def __bool__(self) -> bool:
        return bool(self.files)

    @property
    def key(self) -> str:
        """The hash of the files as they are written, under which they are kept; empty where there are none."""
        return content_key(list(map(list, self.files))) if self.files else ""

    @property
    def tops(self) -> list[str]:
        """The files and folders themselves, as a spec names them: ``mypaper``, ``my_losses.py``."""
        return sorted({path.partition("/")[0] for path, _ in self.files})

    def to_json(self) -> str:
        """The files as text that :meth:`from_json` reads."""
        return canonical_json(dict(self.files))

    @classmethod
    def from_json(cls, text: str) -> Code:
        """The files that :meth:`to_json` wrote.

        Raises:
            InputError: where the text is none of those, or the files are too large.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"this is no code that was packed here: {error}") from error
        if not isinstance(content, dict) or not all(isinstance(item, str) for pair in content.items() for item in pair):
            raise InputError("this is no code that was packed here: it holds no files")
        for path in content:
            if not is_name(path):
                raise InputError(f"this is no code that was packed here: it holds a file {readable(path)}")
        check_size(sum(len(item.encode("utf-8", "backslashreplace")) for item in content.values()), len(content))
        return cls(tuple(sorted(content.items())))

    @cached_property
    def modules(self) -> dict[str, str]:
        """The file of each module, by its dotted name. Folders without an ``__init__.py`` are packages too: ''."""
        found = {module_of(path): path for path, _ in self.files}
        for name in [*found]:
            for end in range(1, name.count(".") + 1):
                found.setdefault(".".join(name.split(".")[:end]), "")
        return found

    @cached_property
    def texts(self) -> dict[str, str]:
        """The text of each file."""
        return dict(self.files)

    def shown(self, path: str) -> str:
        """Where a file lies, for messages, tracebacks and debuggers; its name alone where it came from elsewhere."""
        top, _, rest = path.partition("/")
        folder = dict(self.folders).get(top)
        return path if folder is None else str(Path(folder, top, rest))

    def is_package(self, module: str) -> bool:
        """Whether a module is a folder."""
        path = self.modules[module]
        return not path or path.endswith(INIT)

    def fingerprint(self, module: str) -> str:
        """The hash of what a module says, and of all that it imports of these files, directly or not.

        Raises:
            KeyError: for a module that is not here.
        """
        if module not in self._fingerprints:  # it is asked for with every trial of a plan
            said = {name: digest(self._tree(name)) for name in sorted(self.reached(module))}
            self._fingerprints[module] = content_key(said)
        return self._fingerprints[module]

    def uses(self, module: str, other: str) -> bool:
        """Whether a module of these files imports, itself, a module or package that is none of them."""
        return any(name == other or name.startswith(f"{other}.") for name in self._wanted(module))

    def reached(self, module: str) -> set[str]:
        """A module and all of these files that are imported with it: packages around a module are imported before."""
        found: set[str] = set()
        waiting = [module]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._imported(name)
        return found

    def __reduce__(self) -> tuple[type[Code], tuple[object, ...]]:
        """Without what was worked out of them: a syntax tree may be too deep for another process."""
        return Code, (self.files, self.folders)

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        """Those that were asked for."""
        return {}

    @cached_property
    def _trees(self) -> dict[str, ast.Module]:
        """The syntax trees that were asked for."""
        return {}

    def _tree(self, module: str) -> ast.Module:
        if module not in self._trees:
            path = self.modules[module]
            self._trees[module] = parsed(self.texts.get(path, ""), self.shown(path))
        return self._trees[module]

    def _imported(self, module: str) -> set[str]:
        """The modules of these files that one of them imports, and the packages around them."""
        found: set[str] = set()
        for wanted in self._wanted(module):
            if wanted == "*":
                found |= self.modules.keys()
            elif wanted.endswith(".*"):
                found |= {name for name in self.modules if name.startswith(wanted[:-1])}
            else:
                found |= {name for name in _around(wanted) if name in self.modules}
        return found

    def _wanted(self, module: str) -> Iterator[str]:
        """What :func:`imports` finds, and the module itself."""
        yield module
        yield from imports(self._tree(module), module, self.is_package(module))

    def check(self) -> None:
        """Raises InputError where a file is no Python, hides a module, or imports a neighbour that is left out."""
        for name in {module.partition(".")[0] for module in self.modules}:
            self._check_hides_nothing(name)
        for module in self.modules:
            for wanted in self._wanted(module):
                self._check_neighbour(module, wanted.partition(".")[0])

    def _check_hides_nothing(self, name: str) -> None:
        if name in sys.stdlib_module_names or name in OURS or _installed(name, [place for _, place in self.folders]):
            file = self.shown(name if self.is_package(name) else f"{name}.py")
            raise InputError(f"{file} would hide the module '{name}' that is installed here; give it another name")

    def _check_neighbour(self, module: str, wanted: str) -> None:
        if wanted in self.modules:
            return
        for place in {folder for _, folder in self.folders}:
            for path in (Path(place, f"{wanted}.py"), Path(place, wanted, INIT)):
                if wanted and path.is_file() and not _installed(wanted, [place]):
                    name = path.name if path.name != INIT else wanted
                    raise InputError(
                        f"{self.shown(self.modules[module])} imports {wanted}, which lies beside it but is not under"
                        f" `code`; add {name} there"
                    )


NO_CODE = Code()
OURS = frozenset({"kd_sweep", "sweep", "trainers", "search_spaces"})


def check_size(size: int, count: int) -> None:
    """Raises InputError for more bytes, or more files, than code has."""
    if size > MOST_BYTES:
        raise InputError(f"the files under `code` have more than {MOST_BYTES:,} bytes; they hold code alone")
    if count > MOST_FILES:
        raise InputError(f"there are more than {MOST_FILES:,} files under `code`; name the package that is needed")


def is_name(path: str) -> bool:
    """Whether a path's parts are names of packages and, last, of a Python file."""
    stem = path.removesuffix(".py")
    return stem != path and all(part.isidentifier() for part in stem.split("/"))


def is_test(module: str) -> bool:
    """Whether a module's name is one by which pytest finds tests, or what they share."""
    name = module.rpartition(".")[2]
    return name == "conftest" or name.startswith("test_") or name.endswith("_test")


def module_of(path: str) -> str:
    """The dotted name of the module in a file: ``mypaper.losses`` of ``mypaper/losses.py``."""
    return path.removesuffix(f"/{INIT}").removesuffix(".py").replace("/", ".")


def _around(module: str) -> Iterator[str]:
    """A dotted name and the packages around it."""
    parts = module.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _installed(name: str, beside: Sequence[str]) -> bool:
    """Whether Python finds a module of that name elsewhere than beside the spec or in the working folder."""
    here = {os.path.realpath(place) for place in [*beside, "."]}
    elsewhere = [entry for entry in sys.path if os.path.realpath(entry or ".") not in here]
    return PathFinder.find_spec(name, elsewhere) is not None
