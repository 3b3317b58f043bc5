"""The user's modules that this process has imported, anew where they changed, with all that they have registered."""

from __future__ import annotations

import importlib
import sys

from trainers import registry
from trainers.code import installed
from trainers.code.files import NO_CODE, Code, is_test
from trainers.code.finder import FINDER
from trainers.code.limit import limited
from trainers.code.places import THEIRS, theirs, told
from trainers.errors import InputError

IMPORT_SECONDS = 600.0
"""For one file, with all that it imports: from a slow disk, on a busy machine, a large library takes minutes."""


def load(code: Code) -> None:
    """Import `code`, in place of what was loaded before; nothing where that is the same.

    Of a folder, the package itself is imported and each of its modules that imports `trainers` and is no test: other
    scripts that lie there are left alone.

    Raises:
        InputError: where an import fails or does not end, with the user's file and line, or a file registers nothing
            and is imported by none that does. Nothing is loaded then.
    """
    if code == FINDER.code:
        return
    unload()
    if not code:
        return
    _forget(code)  # somebody may have imported a file of that name without us, as it was then
    FINDER.code = code
    sys.meta_path.insert(0, FINDER)
    importlib.invalidate_caches()
    try:
        for module in code.modules:
            if "." not in module or (code.uses(module, "trainers") and not is_test(module)):
                _import(module, code.shown(code.modules[module]) or module)
        _check_registered(code)
    except BaseException:
        unload()
        raise


def _import(module: str, what: str) -> None:
    try:
        with theirs(what), limited(IMPORT_SECONDS):
            importlib.import_module(module)
    except InputError:
        raise
    except THEIRS as error:
        raise InputError(f"cannot import {module}: {told(error)}") from error


def _check_registered(code: Code) -> None:
    """Raises InputError for a file or folder that has no part in anything that a spec can name."""
    used = {name for module in registry.modules() & code.modules.keys() for name in code.reached(module)}
    for path in sorted({path.partition("/")[0] for path in code.texts}):
        if path.removesuffix(".py") not in {name.partition(".")[0] for name in used}:
            raise InputError(f'{code.shown(path)} registers nothing: decorate a function with @method("name"), say')


def unload() -> None:
    """Forget the modules that were loaded, and all that they have registered."""
    _forget(FINDER.code)
    if FINDER in sys.meta_path:
        sys.meta_path.remove(FINDER)
    FINDER.code = NO_CODE


def _forget(code: Code) -> None:
    registry.forget(code.modules)
    for module in code.modules:
        sys.modules.pop(module, None)


def fingerprint(module: str) -> str:
    """The hash of what a user's module says and imports; empty for all other modules."""
    if module in FINDER.code.modules:
        return FINDER.code.fingerprint(module)
    return installed.fingerprint(module)
