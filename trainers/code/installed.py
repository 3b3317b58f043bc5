"""Installed distributions that register something of their own, through the entry-point group ``kd_sweep``.

An entry point names a module: ``mypaper = "mypaper.losses"``. It must be installed on every machine; its fingerprint is
part of the keys of the trials that use it, as that of files beside a spec is.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from trainers import registry
from trainers.code.files import Code
from trainers.code.places import THEIRS, theirs, told
from trainers.errors import InputError
from trainers.storage.content import content_key

GROUP = "kd_sweep"


@cache
def load_installed() -> tuple[str, ...]:
    """Import what distributions have registered, once per process; the names of the entry points' modules.

    Raises:
        InputError: where one cannot be imported; distribution and reason are named.
    """
    return tuple(_imported(point) for point in sorted(entry_points(group=GROUP), key=lambda point: point.name))


def _imported(point: EntryPoint) -> str:
    try:
        with theirs(f"the installed package {_top(point.module)}"):
            import_module(point.module)
    except THEIRS as error:
        _forget(_top(point.module))
        name = point.dist.name if point.dist is not None else point.name
        raise InputError(f"the installed package {name} cannot be used: {told(error)}") from error
    return point.module


def _forget(package: str) -> None:
    """Leave nothing of a package that was imported in part: the next try would find its names taken."""
    modules = {name for name in [*sys.modules, *registry.modules()] if _top(name) == package}
    registry.forget(modules)
    for name in modules:
        sys.modules.pop(name, None)


def _top(module: str) -> str:
    return module.partition(".")[0]


@cache
def fingerprint(module: str) -> str:
    """The hash of what an installed module says and imports of its own package; empty for modules of no plug-in. Of one
    that is compiled, the hash of its file."""
    if _top(module) not in {_top(name) for name in load_installed()} or module not in sys.modules:
        return ""
    code = _code(_top(module))
    if module in code.modules:
        return code.fingerprint(module)
    file = getattr(sys.modules[module], "__file__", None)
    return content_key(hashlib.sha256(Path(file).read_bytes()).hexdigest()) if file else ""


@cache
def _code(package: str) -> Code:
    """The Python files of an installed package, as one that the namespace of several packages may be."""
    spec = find_spec(package)
    if spec is None:
        return Code()
    if spec.submodule_search_locations is None:
        files = {Path(str(spec.origin)).name: Path(str(spec.origin))}
    else:
        places = [Path(place) for place in spec.submodule_search_locations]
        files = {
            f"{package}/{file.relative_to(place).as_posix()}": file for place in places for file in place.rglob("*.py")
        }
    texts = {name: file.read_bytes().decode("utf-8-sig", "backslashreplace") for name, file in files.items()}
    return Code(tuple(sorted((name, text) for name, text in texts.items() if name.endswith(".py"))))
