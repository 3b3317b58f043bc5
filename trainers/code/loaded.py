"""The user's modules that this process has imported, anew where they changed, with all that they have registered."""

from __future__ import annotations

import importlib
import sys

from trainers import registry
from trainers.code import installed
from trainers.code.files import NO_CODE, Code
from trainers.code.finder import FINDER
from trainers.code.places import told
from trainers.errors import InputError


def load(code: Code) -> None:
    """Import all modules of `code`, in place of what was loaded before; nothing where that is the same.

    Raises:
        InputError: where an import fails, with the user's file and line, or a file registers nothing and is imported by
            none that does. Nothing is loaded then.
    """
    if code == FINDER.code:
        return
    unload()
    if not code:
        return
    FINDER.code = code
    sys.meta_path.insert(0, FINDER)
    importlib.invalidate_caches()
    try:
        for module in code.modules:
            _import(module)
        _check_registered(code)
    except BaseException:
        unload()
        raise


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's module raises is his, and told as such
        raise InputError(f"cannot import {module}: {told(error)}") from error


def _check_registered(code: Code) -> None:
    """Raises InputError for a file or folder that has no part in anything that a spec can name."""
    used = {name for module in registry.modules() & code.modules.keys() for name in code.reached(module)}
    for path in sorted({path.partition("/")[0] for path in code.texts}):
        if path.removesuffix(".py") not in {name.partition(".")[0] for name in used}:
            raise InputError(f'{code.shown(path)} registers nothing: decorate a function with @method("name"), say')


def unload() -> None:
    """Forget the modules that were loaded, and all that they have registered."""
    registry.forget(FINDER.code.modules)
    for module in FINDER.code.modules:
        sys.modules.pop(module, None)
    if FINDER in sys.meta_path:
        sys.meta_path.remove(FINDER)
    FINDER.code = NO_CODE


def fingerprint(module: str) -> str:
    """The hash of what a user's module says and imports; empty for all other modules."""
    if module in FINDER.code.modules:
        return FINDER.code.fingerprint(module)
    return installed.fingerprint(module)
