"""`sweep unpack`: a sweep made of a pack, below a root of this machine. Nothing that it holds is run or imported."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.packs import manifest
from sweep.packs.archive import Pack, opened
from sweep.plan.code import lay_out
from sweep.plan.slots import Plan
from trainers.code import NO_CODE, Code
from trainers.errors import InputError, KDError, StorageError
from trainers.storage.files import write_atomically
from trainers.storage.inputs import readable

KEY = re.compile(r"[0-9a-f]+")
"""Of a trial."""


def unpack(path: Path, root: Root) -> str:
    """Make a sweep of a pack; it is there as a whole or not at all.

    Args:
        path: the pack's file.
        root: below which the sweep shall lie.

    Returns:
        The sweep's name.

    Raises:
        InputError: where the file is no whole pack, or the root has a sweep of that name.
        StorageError: when there is no room, or the root cannot be written.
    """
    with opened(path) as pack:
        name = pack.manifest.name
        target = root.sweep(name)
        _refuse_taken(target.folder, name)
        try:
            with root.newly_made():
                _make(pack, path, root, target)
        except OSError as error:
            _refuse_taken(target.folder, name)  # another may have been quicker
            raise StorageError(
                f"cannot unpack {readable(path)} below {root.path}: {error.strerror or error}"
            ) from error
    return name


def _refuse_taken(folder: Path, name: str) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise InputError(
            f"a sweep '{name}' lies at {folder} already, and is left as it is; choose another --root, or move it away"
        )


def _make(pack: Pack, path: Path, root: Root, target: SweepPaths) -> None:
    root.sweeps.mkdir(parents=True, exist_ok=True)
    _check_room(pack, root.sweeps)
    # a folder in a folder: what a killed process leaves is no sweep of the root's
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root.sweeps) as work:
        new = SweepPaths(Path(work) / "new" / "sweep")
        new.folder.mkdir(parents=True)
        pack.extract(new.folder)
        plan = _checked(new, pack, readable(path))
        _place_weights(new)
        _keep_code(new, plan, root, readable(path))
        new.lock.touch()  # nobody runs it here
        new.folder.rename(target.folder)


def _check_room(pack: Pack, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < pack.size:
        raise StorageError(f"{folder} has room for {free:,} bytes, and the pack unfolds to {pack.size:,}")


def _checked(paths: SweepPaths, pack: Pack, what: str) -> Plan:
    """The plan of a pack's ledger, which is read as a whole. Raises InputError where that is not what the pack says."""
    try:
        with closing(Ledger(paths.ledger)) as ledger:
            ledger.verify()
            _check_keys(ledger)
            planned, named = ledger.latest("plan"), ledger.id
        plan = Plan.from_json(planned.body) if planned is not None else None
    except (KDError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{what} is no whole pack: its ledger cannot be read: {error}") from error
    if plan is None or plan.name != pack.manifest.name or named != pack.manifest.ledger:
        raise InputError(f"{what} is no whole pack: its ledger is another sweep's than its {manifest.MANIFEST} tells")
    return plan


def _check_keys(ledger: Ledger) -> None:
    """Raises ValueError for a trial whose key is none: it names a folder, which others read, write and empty."""
    keys = {*(trial for _, trial, _ in ledger.starts()), *ledger.epochs_done(), *ledger.finals()}
    odd = next((key for key in keys if not KEY.fullmatch(str(key))), None)
    if odd is not None:
        raise ValueError(f"a trial of it is called {odd!r}, which is no key")


def _place_weights(paths: SweepPaths) -> None:
    """Each student's into its trial's folder, where it is looked for."""
    for file in sorted((paths.folder / "weights").glob("*.safetensors")):
        place = paths.trial(file.stem) / "weights.safetensors"
        place.parent.mkdir(parents=True)
        file.rename(place)
    shutil.rmtree(paths.folder / "weights", ignore_errors=True)


def _keep_code(paths: SweepPaths, plan: Plan, root: Root, what: str) -> None:
    """The sweep's own code where networks that need it are read; its text is checked and hashed, never imported."""
    file = paths.folder / manifest.CODE
    if not plan.code:
        file.unlink(missing_ok=True)
        lay_out(NO_CODE, paths)
        return
    try:
        code = Code.from_json(file.read_bytes().decode("utf-8", "surrogatepass"))
    except (InputError, FileNotFoundError, UnicodeDecodeError) as error:
        raise InputError(f"{what} is no whole pack: its own code cannot be read: {error}") from error
    if code.key != plan.code:
        raise InputError(f"{what} is no whole pack: its own code is not the code that its plan was made with")
    if not root.code(code.key).exists():
        write_atomically(root.code(code.key), file.read_bytes())
    file.unlink()
    lay_out(code, paths)
