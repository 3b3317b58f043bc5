"""Installed distributions that register something of their own, through the entry-point group ``kd_sweep``.

An entry point names a module: ``mypaper = "mypaper.losses"``. It must be installed on every machine; its fingerprint is
part of the keys of the trials that use it, as that of files beside a spec is.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from trainers.code.files import INIT, Code
from trainers.code.places import told
from trainers.errors import InputError

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
        import_module(point.module)
    except Exception as error:  # whatever it raises, the user learns whose it is
        name = point.dist.name if point.dist is not None else point.name
        raise InputError(f"the installed package {name} cannot be used: {told(error)}") from error
    return point.module


@cache
def fingerprint(module: str) -> str:
    """The hash of what an installed module says and imports of its own package; empty for modules of no plug-in."""
    top = module.partition(".")[0]
    if top not in {name.partition(".")[0] for name in load_installed()} or module not in sys.modules:
        return ""
    return _code(top).fingerprint(module)


@cache
def _code(package: str) -> Code:
    """The files of an installed package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return Code()
    origin = Path(spec.origin)
    if origin.name != INIT:
        return Code(((origin.name, origin.read_text()),))
    folder = origin.parent
    found = ((file.relative_to(folder.parent).as_posix(), file.read_text()) for file in folder.rglob("*.py"))
    return Code(tuple(sorted(found)))
