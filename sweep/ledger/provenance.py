"""Where a run and each of its trials come from: commits, releases and machines. No key is made of any of it."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import trainers
from search_spaces.schema import Spec
from trainers.machine import machine
from trainers.repository import state, top
from trainers.versions import OURS, at_work

SOURCES = Path(trainers.__file__).resolve().parent.parent
"""The folder that our packages lie in."""


def of_run(spec: Spec) -> dict[str, Any]:
    """What a driver notes when it begins: `repositories`, the commits of the spec, of its own code where that is
    another repository's, and of ours, as far as they are known; `releases`; and `machine`, where it runs."""
    return {
        "repositories": _repositories(spec),
        "releases": at_work(),
        "machine": machine(),
    }


def _repositories(spec: Spec) -> dict[str, Any]:
    file = Path(spec.source)
    places = [("spec", file.absolute().parent)] if file.is_file() else []
    places += [("code", Path(folder)) for _, folder in spec.code.folders]
    noted, seen = _ours(), {SOURCES}
    for name, folder in places:
        repository = top(folder)
        if repository is not None and repository not in seen and name not in noted:
            found = state(folder)
            noted |= {name: found.to_json()} if found else {}
        seen |= {repository} if repository else set()
    return noted


def shown(state: dict[str, Any], length: int | None = None) -> str:
    """A repository's state as it was noted, in words: ``95a4ee1 with changes``.

    Args:
        state: `commit` and `dirty`.
        length: characters of the commit; None for all.
    """
    changes = {True: " with changes", None: ", changes unknown"}.get(state["dirty"], "")
    return f"{state['commit'][:length]}{changes}"


def of_attempt(on_gpu: bool) -> dict[str, str]:
    """What a worker notes of an attempt: its machine, Python's release, and our commit where it runs from a checkout.

    Args:
        on_gpu: whether it trains on one. Of the machine's processor or its GPUs only those that train are named.
    """
    unused = "cpu" if on_gpu else "gpu"
    here = {name: value for name, value in _here().items() if name != unused and (on_gpu or name != "driver")}
    return here if "gpu" in here or not on_gpu else here | _gpu()


@cache
def _here() -> dict[str, str]:
    """Of this process: it is asked once."""
    ours = _ours().get(OURS)
    commit = {"commit": ours["commit"] + ("+" if ours["dirty"] else "")} if ours else {}
    return machine() | {"python": platform.python_version()} | commit


def _ours() -> dict[str, dict[str, Any]]:
    """The state of our checkout; nothing where our packages were installed, perhaps into another repository."""
    found = state(SOURCES) if top(SOURCES) == SOURCES else None
    return {OURS: found.to_json()} if found else {}


def _gpu() -> dict[str, str]:
    """The GPU of a process that trains on it, where the system does not tell."""
    import torch

    with suppress(RuntimeError):  # the trial may have broken for that very reason
        return {"gpu": torch.cuda.get_device_name()}
    return {}
