"""What would not work on a compute node, found on the login node: one finding after the other, none of them a run.

What only a compute node could tell (whether it sees a folder that lies on a disk of this machine) is said to be
unknown, never taken for granted.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import kd_sweep
from sweep.layout import Root
from sweep.ledger import lock
from sweep.ledger.claims import Claims
from sweep.plan.divisible import refuse_what_needs_one_driver
from sweep.slurm import drivers
from sweep.slurm.disks import free, whereabouts
from sweep.slurm.script import written
from sweep.slurm.submit import SUBMIT
from sweep.slurm.wanted import Wanted
from sweep.text import counted
from trainers.errors import KDError

if TYPE_CHECKING:
    from search_spaces.schema import Spec
    from sweep.plan.slots import Plan

MEGABYTE = 1_000_000
FILES_A_TRIAL = 8
"""Inodes that a trial takes while it runs, at most: its folders, two checkpoints, what is being written, weights."""


@dataclass(frozen=True)
class Finding:
    """Whether something would work."""

    what: str
    holds: bool | None
    """None where that cannot be said here."""
    found: str


def findings(
    spec: str, root: Root, wanted: Wanted, *, storage: str | None, tracking_uri: str, driver: str | None
) -> Iterator[Finding]:
    """Of a sweep's job, each as soon as it is known. Prepares the data set below the root, which a node then need not.

    Args:
        spec: its file, or a shipped one's name.
        root: below which it writes.
        wanted: what the job asks for.
        storage: what the root is a copy of, as it was named; None where it is no copy.
        tracking_uri: MLflow's.
        driver: of the compute nodes' GPUs, as ``nvidia-smi`` has it there; None where nobody says.
    """
    loaded, finding = _spec(spec)
    yield finding
    plan = None
    if loaded is not None:
        plan, finding = _plan(loaded, root)
        yield finding
    yield _locks(root)
    if loaded is not None and plan is not None and wanted.array is not None:
        yield _divided(loaded, plan, root, on_gpu=wanted.gpus not in (None, "0"))
    if loaded is not None:
        yield from _places(spec, loaded, root)
        yield _offline(loaded, tracking_uri)
    if loaded is not None and plan is not None:
        yield _devices(plan, wanted)
        yield _room(plan, root)
        yield _driver(plan, driver)
    if loaded is not None:
        yield _slurm(spec, loaded.name, root, wanted, storage)


def _spec(spec: str) -> tuple[Spec | None, Finding]:
    from search_spaces.loader import load_spec

    what = "spec and code"
    try:
        loaded = load_spec(spec)
    except KDError as error:
        return None, Finding(what, False, str(error))
    code = f", with its own code: {', '.join(loaded.code.tops)}" if loaded.code else ""
    return loaded, Finding(what, True, f"{loaded.source}{code}")


def _plan(spec: Spec, root: Root) -> tuple[Plan | None, Finding]:
    from sweep.results.preview import look_ahead

    what = "data and teachers"
    try:
        ahead = look_ahead(spec, root)
    except KDError as error:
        return None, Finding(what, False, str(error))
    return ahead.plan, Finding(what, True, f"{spec.dataset}, {ahead.epochs_left} epochs to run")


def _locks(root: Root) -> Finding:
    probe = root.path / ".probe-lock"
    try:
        with lock.exclusive(probe, "another check"):
            pass
    except KDError as error:
        return Finding("file locks", False, str(error))
    with suppress(FileNotFoundError):  # another check was faster
        probe.unlink()
    return Finding("file locks", True, f"{root.path.absolute()} has them")


def _divided(spec: Spec, plan: Plan, root: Root, *, on_gpu: bool) -> Finding:
    """Whether several jobs, with GPUs or without, can divide the plan below the root."""
    from sweep.cost.compiling import settled
    from trainers.teacher.store import TeacherStore

    what = "dividing"
    try:
        refuse_what_needs_one_driver(plan)
        store = TeacherStore(root.teachers, root.storage)
        settled(spec, root, store, lambda line: None, here=not on_gpu, alone=False)
        with TemporaryDirectory(prefix=".probe-", dir=root.path) as folder, Claims(Path(folder)) as claims:
            claims.take("a trial")
    except KDError as error:
        return Finding(what, False, str(error))
    return Finding(what, True, "each trial goes to one job, and each search, by hard links below the root")


def _places(spec: str, loaded: Spec, root: Root) -> Iterator[Finding]:
    """Whether a node would see what it needs."""
    places = {
        "Python": Path(sys.prefix),
        "its standard library": Path(sys.base_prefix),
        "this project": kd_sweep.HERE,
        "the root": root.path,
        "this folder": Path.cwd(),
    }
    files = {f"dataset's {name}": value for name, value in _files(loaded)}
    files |= {f"teacher {pair.teacher}": Path(pair.teacher) for pair in loaded.pairs if pair.kind == "file"}
    for what, path in (places | files).items():
        yield Finding(what, *whereabouts(path.absolute()))


def _files(spec: Spec) -> Iterator[tuple[str, Path]]:
    from trainers.data import DATASETS

    source: Any = DATASETS[spec.dataset].model_validate(spec.dataset_options)
    return ((name, value) for name, value in source if isinstance(value, Path))


def _offline(spec: Spec, tracking_uri: str) -> Finding:
    """The data set is there by now; a run fetches nothing else."""
    from sweep.text import without_password

    if tracking_uri.startswith("http"):
        shown = without_password(tracking_uri)
        told = f"MLflow at {shown}: where a node does not reach it, `sweep sync {spec.name}` delivers later from here"
        return Finding("without internet", None, told)
    return Finding("without internet", True, "nothing is fetched while it runs")


def _devices(plan: Plan, wanted: Wanted) -> Finding:
    cpus, gpus, workers = (plan.compute[name] for name in ("cpus", "gpus", "workers"))
    workers = math.ceil(workers / wanted.nodes)  # of a trial, on one node
    given = None if wanted.gpus is None else wanted.gpus.rpartition(":")[2]
    if gpus and given in (None, "0"):
        return Finding(
            "devices", False, f"a trial asks for {gpus:g} GPUs (compute.gpus), the job for none: --gpus-per-node"
        )
    if given is not None and given.isdecimal() and gpus * workers > int(given):
        return Finding("devices", False, f"a trial asks for {gpus * workers:g} GPUs, and the job for {given}")
    if wanted.cpus is not None and cpus * workers > wanted.cpus:
        return Finding("devices", False, f"a trial asks for {cpus * workers:g} CPUs, and the job for {wanted.cpus}")
    if given not in (None, "0") and not gpus:
        return Finding("devices", False, "the job asks for GPUs, and compute.gpus is 0: no trial would use them")
    if wanted.cpus is None:
        return Finding("devices", None, "how many CPUs is left to Slurm: --cpus")
    return Finding("devices", True, f"a trial asks for {counted(cpus, 'CPU')} and {counted(gpus, 'GPU')}")


def _room(plan: Plan, root: Root) -> Finding:
    from sweep.cost.estimate import disk_bytes
    from trainers.data import DATASETS

    classes = DATASETS[plan.dataset].model_validate(plan.source).load().num_classes
    needed, files = disk_bytes(plan, classes), FILES_A_TRIAL * plan.count
    room, inodes = free(root.path.absolute())
    asked = f"{needed / MEGABYTE:,.0f} MB and {files:,} files at most"
    there = f"{room / MEGABYTE:,.0f} MB and {'any number of' if inodes is None else f'{inodes:,}'} files are free"
    enough = needed <= room and (inodes is None or files <= inodes)
    return Finding("room", enough, f"{asked}; {there}, less where you have a quota of your own")


def _driver(plan: Plan, driver: str | None) -> Finding:
    import torch

    if not plan.compute["gpus"]:
        return Finding("GPU driver", True, "no trial asks for a GPU")
    return Finding("GPU driver", *drivers.fits(torch.version.cuda, driver))


def _slurm(spec: str, name: str, root: Root, wanted: Wanted, storage: str | None) -> Finding:
    """Have Slurm itself look at the script: partition, account, time, and whether any node has what is asked for."""
    what = "Slurm"
    try:
        script = written(spec, name, root, wanted, storage)
        done = subprocess.run([SUBMIT, "--test-only", str(script)], capture_output=True, text=True, check=False)
    except KDError as error:
        return Finding(what, False, str(error))
    except FileNotFoundError:
        return Finding(what, False, f"there is no {SUBMIT} here")
    return Finding(what, done.returncode == 0, " ".join(done.stderr.split()).removeprefix("sbatch: "))
