"""How long students take for their images on this machine: measured once, and remembered by machine below the root.

A latency is no part of any key: no trial is another one because it was measured elsewhere, or twice. It is measured
before anything trains, by a process of its own that has the machine's cores to itself, and from then on it is read: a
sweep that is broken off and goes on has the same number, and so has every sweep below that root on such a machine,
until torch is another release.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from kd_sweep import spawning
from sweep.cost import measured as files
from sweep.cost.calibration import machine
from sweep.layout import Root
from sweep.plan.slots import LATENCY
from sweep.text import counted, first_line
from trainers.allotment import cores
from trainers.code import Code, current, fingerprint, load, load_installed
from trainers.errors import InputError
from trainers.machine import gpus, processor
from trainers.storage.files import write_atomically

if TYPE_CHECKING:
    from sweep.plan.slots import Plan

UNSTEADY = 1.5
"""Times the fastest pass, above which a median is that of a busy machine."""
Known = dict[str, list[dict[str, Any]]]
"""By architecture, for each batch a :class:`trainers.models.latency.Latency` as JSON."""


def students_of(plan: Plan) -> list[str]:
    """Architectures of a plan's students, each once."""
    configs = [slot.config for slot in plan.students] + [cell.config for cell in plan.cells]
    return list(dict.fromkeys(str(config["model"]) for config in configs))


def remembered(plan: Plan, root: Root) -> Known:
    """What was measured below a root of a plan's students, on this kind of machine and with this torch."""
    if not root.latency.exists():
        return {}
    there = _content(root).get(machine(), {}).get("networks", {})
    device = _device(plan)
    keys = {name: _key(name, plan, device) for name in students_of(plan)}
    return {name: there[key]["latencies"] for name, key in keys.items() if key in there}


def measured(plan: Plan, root: Root, say: Callable[[str], None] = lambda _: None, *, again: bool = False) -> Known:
    """The same of all students of a plan; those that are not remembered are measured now, some seconds each.

    It is to be called while nothing else computes here. On a GPU where the plan's trials have one and this machine
    does, otherwise on the CPU, with a thread for each core.

    Args:
        plan: its `images` are what the students read.
        root: where it is remembered.
        say: is told what is measured.
        again: measure those that are remembered, too.

    Raises:
        InputError: of a plan from before plans told what networks read, and where a network cannot be built or run.
        StorageError: when nothing can be remembered.
    """
    if not plan.images:
        raise InputError(
            f"sweep '{plan.name}' was planned by an earlier release; run it once more, which trains nothing"
        )
    known, device = {} if again else remembered(plan, root), _device(plan)
    lacking = [name for name in students_of(plan) if name not in known]
    if lacking:
        say(f"measuring the latency of {', '.join(lacking)} on this machine's {'GPU' if device == 'cuda' else 'CPU'}")
        found = _asked(lacking, plan, device)
        _remember(root, plan, device, found)
        known |= found
    return {name: known[name] for name in students_of(plan)}


def asks(plan: Plan) -> bool:
    """Whether a search of the plan has it among its metrics."""
    return any(LATENCY in cell.search["metrics"] for cell in plan.cells)


def wanted(plan: Plan, root: Root, say: Callable[[str], None]) -> Known:
    """Measured where a search asks for it, otherwise what is remembered; `say` is told where that was beside other
    work."""
    if not asks(plan):
        return remembered(plan, root)
    known = measured(plan, root, say)
    busy = unsteady(known)
    if busy:
        say(f"latencies measured beside other work, it seems: {', '.join(busy)}")
    return known


def told(plan: Plan, known: Known) -> Plan:
    """The plan with its students' latencies: in searches that have them as a metric, and for the report."""
    cells = tuple(
        replace(cell, student_latency=of_one(known[cell.config["model"]]))
        if LATENCY in cell.search["metrics"] and cell.config["model"] in known
        else cell
        for cell in plan.cells
    )
    return replace(plan, cells=cells, latencies=known)


def of_one(latencies: Iterable[dict[str, Any]]) -> float:
    """What a search minimises: milliseconds for one image."""
    return next(float(latency["milliseconds"]) for latency in latencies if latency["batch"] == 1)


def unsteady(known: Known) -> list[str]:
    """The networks whose passes took so unequally long that the machine was doing something else besides."""
    return [name for name, some in known.items() if any(map(_is_unsteady, some))]


def _is_unsteady(one: Mapping[str, Any]) -> bool:
    return bool(one["milliseconds"] > UNSTEADY * one["fastest"])


def words(latencies: Iterable[Mapping[str, Any]]) -> str:
    """A network's latencies in a sentence: ``0.31 ms for one image, 9.8 ms for 64 (the CPU, 2 threads; …)``."""
    some = list(latencies)
    number = {1: "one image"}
    times = ", ".join(f"{one['milliseconds']:.3g} ms for {number.get(one['batch'], one['batch'])}" for one in some)
    where = "the GPU" if some[0]["device"] == "cuda" else f"the CPU, {counted(some[0]['threads'], 'thread')}"
    passes = " and ".join(str(one["passes"]) for one in some)
    beside = "; beside other work, it seems" if any(map(_is_unsteady, some)) else ""
    return f"{times} ({where}; medians of {passes} passes{beside})"


def rows(plan: Plan, known: Known) -> list[dict[str, Any]]:
    """The students of a plan in a listing."""
    return [_row(name, plan.networks.get(name, {}), {one["batch"]: one for one in known[name]}) for name in known]


def _row(name: str, size: Mapping[str, int], by_batch: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    each = {batch: float(one["milliseconds"]) for batch, one in by_batch.items()}
    most, one = max(each), next(iter(by_batch.values()))
    return {
        "student": name,
        "parameters": size.get("parameters"),
        "macs": size.get("macs"),
        **{f"ms_{batch}": round(milliseconds, 3) for batch, milliseconds in each.items()},
        "images_per_second": round(1000 * most / each[most]),
        "device": one["device"],
        "threads": one["threads"],
    }


# -- what is remembered -----------------------------------------------------------------------------------------------


def _key(model: str, plan: Plan, device: str) -> str:
    """What decides a network's latency on a machine; of a user's own network the module that makes it, too."""
    from trainers.models import MODELS

    height, width = plan.images["size"]
    own = MODELS.module(model)
    known = f"{model} {height}x{width} {plan.images['classes']} {device}"
    return f"{known} {fingerprint(own)}" if own else known


def _remember(root: Root, plan: Plan, device: str, found: Known) -> None:
    import torch

    content = _content(root)
    known = content.get(machine(), {"networks": {}})
    here = {"processor": processor(), "cores": cores(), "gpus": gpus(), "torch": str(torch.__version__)}
    networks = {_key(name, plan, device): {"latencies": latencies} for name, latencies in found.items()}
    content[machine()] = {**here, "networks": known["networks"] | networks}
    write_atomically(root.latency, json.dumps(content, indent=1).encode())


def _content(root: Root) -> dict[str, Any]:
    return files.read(root.latency, dict[str, Any])


def _device(plan: Plan) -> str:
    """Where a plan's students are timed: on a GPU where its trials have one, and there is one here."""
    import torch

    return "cuda" if plan.compute.get("gpus") != 0 and torch.cuda.device_count() else "cpu"


# -- what is measured -------------------------------------------------------------------------------------------------


def _asked(models: list[str], plan: Plan, device: str) -> Known:
    """What a process of its own measures, which holds no GPU when it has ended."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    images = (int(plan.images["classes"]), tuple(plan.images["size"]))
    with spawning():
        process = context.Process(target=_measure, args=(sender, models, *images, device, current()), daemon=True)
        process.start()
    sender.close()  # the child's end is the only one, so that its death is heard
    try:
        answer: Known | str = receiver.recv()
    except EOFError:  # the system ended the process, for want of memory as a rule
        answer = "its process was ended"
    finally:
        process.kill()
        process.join()
    if isinstance(answer, str):
        raise InputError(f"the latency of {', '.join(models)} cannot be measured: {answer}")
    return answer


def _measure(
    sender: Connection, models: list[str], num_classes: int, size: tuple[int, int], device: str, code: Code
) -> None:
    """In a process of its own: send the latencies, or what went wrong."""
    import torch

    from trainers.models.latency import latencies

    torch.set_num_threads(cores())
    try:
        load_installed()
        load(code)
        found = {name: [asdict(one) for one in latencies(name, num_classes, size, device=device)] for name in models}
        sender.send(found)
    except Exception as error:  # whatever it is, the parent tells the user
        sender.send(first_line(error))
