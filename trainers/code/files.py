"""The files themselves: which they are, what they say, and what depends on what.

A file beside the spec is a module of its name, a folder is a package. Of a folder the Python files count alone.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path

from trainers.code.syntax import digest, imports, parsed
from trainers.errors import InputError
from trainers.storage.content import canonical_json, content_key
from trainers.storage.inputs import FILE, FOLDER, kind, read_file, readable

MOST_BYTES = 2**20
"""Of all files together."""
MOST_FILES = 1_000
INIT = "__init__.py"
MAIN = "__main__.py"
"""What ``python -m mypaper`` runs: a script, which no module imports."""


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
            if not _is_name(path):
                raise InputError(f"this is no code that was packed here: it holds a file {readable(path)}")
        _check_size(sum(len(item.encode("utf-8", "backslashreplace")) for item in content.values()), len(content))
        return cls(tuple(sorted(content.items())))

    @cached_property
    def modules(self) -> dict[str, str]:
        """The file of each module, by its dotted name. Folders without an ``__init__.py`` are packages too: ''."""
        found = {_module(path): path for path, _ in self.files}
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
            said = {name: self._digest(name) for name in sorted(self.reached(module))}
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
    def _digests(self) -> dict[str, str]:
        """Those that were asked for."""
        return {}

    def _digest(self, module: str) -> str:
        if module not in self._digests:
            self._digests[module] = digest(self._tree(module))
        return self._digests[module]

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


def read(paths: Sequence[str], folder: Path) -> Code:
    """The files and package folders that a spec names.

    Args:
        paths: as the spec has them, ``my_losses.py`` or ``mypaper``.
        folder: the spec's, from which they start.

    Raises:
        InputError: for what is missing, no Python, not a file or folder, a link that leads elsewhere, two of one name,
            names that hide another module, and more than :data:`MOST_BYTES`.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    size = 0
    for path in paths:
        place = folder / path
        for name, file in _python_files(place, path):
            if name in files:
                raise InputError(f"{path}: there is a file {name} under `code` already; a module's name stands for one")
            data = read_file(file, MOST_BYTES)
            size += len(data)
            files[name] = _text(data, file)
            _check_size(size, len(files))
        folders[place.name] = str(place.parent.absolute())
    code = Code(tuple(sorted(files.items())), tuple(folders.items()))
    _check_once(code)
    code.check()
    return code


def _python_files(place: Path, path: str) -> Iterator[tuple[str, Path]]:
    """The files of one entry, by the name that they have as modules."""
    found = kind(place)
    if found is None:
        raise InputError(f"there is no {path} beside the spec; `code` takes Python files and package folders")
    if found == FILE and place.suffix == ".py":
        _check_name(place.stem, path)
        _check_leads_nowhere(place, place.parent, path)
        yield place.name, place
    elif found == FOLDER:
        _check_name(Path(path).name, path)
        _check_leads_nowhere(place, place.parent, path)
        yield from _below(place, path)
    else:
        raise InputError(f"{path} is {found}, not a Python file or a package folder")


def _below(place: Path, path: str) -> Iterator[tuple[str, Path]]:
    count = 0
    for file in sorted(place.rglob("*.py")):
        name = file.relative_to(place.parent).as_posix()
        if not _is_name(name) or file.name == MAIN:
            continue  # what no import statement names: a hidden file, a script
        _check_leads_nowhere(file, place, path)
        count += 1
        yield name, file
    if not count:
        raise InputError(f"there is no Python file in the folder {path}")


def _check_leads_nowhere(file: Path, within: Path, path: str) -> None:
    """Raises InputError for a link whose end lies elsewhere: other machines would not have it."""
    if not file.resolve().is_relative_to(within.resolve()):
        raise InputError(f"{path}: {readable(file)} is a link that leads out of its folder; put the file itself there")


def _check_size(size: int, count: int) -> None:
    if size > MOST_BYTES:
        raise InputError(f"the files under `code` have more than {MOST_BYTES:,} bytes; they hold code alone")
    if count > MOST_FILES:
        raise InputError(f"there are more than {MOST_FILES:,} files under `code`; name the package that is needed")


def _check_once(code: Code) -> None:
    """A file and a folder may not be modules of one name."""
    names = [_module(path) for path, _ in code.files]
    for name in names:
        if names.count(name) > 1 or (f"{name.split('.')[0]}.py" in code.texts and "." in name):
            raise InputError(f"two files under `code` are the module '{name.split('.')[0]}'; rename one of them")


def _check_name(name: str, path: str) -> None:
    if not name.isidentifier():
        raise InputError(f"{path}: no module can have the name '{name}'; use letters, digits and '_'")


def _is_name(path: str) -> bool:
    """Whether a path's parts are names of packages and, last, of a Python file."""
    stem = path.removesuffix(".py")
    return stem != path and all(part.isidentifier() for part in stem.split("/"))


def _module(path: str) -> str:
    return path.removesuffix(f"/{INIT}").removesuffix(".py").replace("/", ".")


def _around(module: str) -> Iterator[str]:
    """A dotted name and the packages around it."""
    parts = module.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _text(data: bytes, file: Path) -> str:
    try:
        return data.decode("utf-8-sig")  # some editors begin a file with a mark of its encoding
    except UnicodeDecodeError as error:
        raise InputError(f"{readable(file)} is not a text file (byte {error.start} is not UTF-8)") from error


def _installed(name: str, beside: Sequence[str]) -> bool:
    """Whether Python finds a module of that name elsewhere than beside the spec or in the working folder."""
    here = {Path(place).resolve() for place in [*beside, "."]}
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() not in here]
    return PathFinder.find_spec(name, elsewhere) is not None
