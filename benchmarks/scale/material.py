"""Sweeps of any size: their specs and plans, the numbers that their trials are made to report, and ledgers of them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from search_spaces.loader import parse_spec
from search_spaces.schema import Spec
from sweep.layout import SweepPaths
from sweep.ledger.bodies import final_body, start_body
from sweep.ledger.store import Entry, Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from trainers.config import TeacherConfig
from trainers.storage.content import content_key

PAIRS = tuple(f"resnet{depth} -> resnet8" for depth in (14, 20, 32, 44, 56))
SEEDS = 5
TEMPERATURES = (2, 4)
NAME = "large"
SYSTEM = ("cpu_utilization_percentage", "process_cpu_percentage", "process_memory_megabytes")
"""What the driver's meter tells of an epoch on a machine without a GPU, mean and peak."""


def grid(trials: int, epochs: int = 10) -> Spec:
    """A spec of about so many students, under five pairs and with five seeds each: a grid of `kd`."""
    points = max(1, trials // (len(PAIRS) * SEEDS * len(TEMPERATURES)))
    alphas = [round((place + 1) / (points + 1), 6) for place in range(points)]
    kd = {"kd": {"alpha": alphas, "temperature": list(TEMPERATURES)}}
    return spec({"methods": [kd], "baseline": "kd"}, epochs)


def searched(trials: int, epochs: int = 10, **search: Any) -> Spec:
    """A spec of one cell whose search tries so many configurations."""
    kd = {"kd": {"alpha": {"range": [0.01, 1.0]}, "temperature": {"range": [1.0, 8.0]}}}
    section = {"trials": trials, "sampler": "random", "pruner": "asha"} | search
    return spec({"methods": [kd], "baseline": "kd", "pairs": PAIRS[:1], "seeds": 1, "search": section}, epochs)


def spec(changes: dict[str, Any], epochs: int) -> Spec:
    """The digits' spec with some keys changed, read as a file would be."""
    recipe = {"base": "digits", "epochs": epochs, "samples_per_class": 8, "val_fraction": 0.1, "warmup_epochs": 0}
    keys = {"name": NAME, "dataset": {"digits": {"image_size": 8}}, "recipe": recipe}
    keys |= {"pairs": list(PAIRS), "seeds": SEEDS} | changes
    return parse_spec(yaml.safe_dump(keys, sort_keys=False), f"{NAME}.yaml")


def teachers(plan: Plan) -> dict[str, TeacherConfig]:
    """References to the plan's teachers, which nobody has trained."""
    return {
        slot.id: TeacherConfig(architecture=slot.pair, hash=content_key(f"weights of {slot.id}"))
        for slot in plan.teachers
    }


def epoch_body(draw: random.Random, epoch: int, of: int) -> dict[str, Any]:
    """What a worker reports of an epoch, with as many digits as real ones have."""
    reached = 70 - 30 / epoch + draw.random()
    accuracies = {f"{part}_acc{top}": round(reached + draw.random(), 2) for part in PARTS for top in ("", "5")}
    terms = {"ce": draw.random() + 1 / epoch, "kd": draw.random() / epoch}
    seconds = 20 + draw.random()
    return {
        "epoch": epoch,
        "loss": sum(terms.values()),
        "terms": terms,
        "lr": 0.05 * (1 + math.cos(math.pi * epoch / of)),
        **accuracies,
        "seconds": seconds,
        "images_per_second": 45_000 / seconds,
        "teacher_images": 0,
        "diagnostics": {},
        "system": {name: {"mean": 100 * draw.random(), "peak": 100 * draw.random()} for name in SYSTEM},
        "replayed": False,
    }


PARTS = ("train", "val", "test")
METRICS = 13 + 2 * len(SYSTEM)
"""Numbers in such a body."""


def fill(path: Path, plan: Plan, spec: Spec, *, epochs: int | None = None, left: int = 0) -> None:
    """A ledger in which all of a plan has finished but the last `left` trials, written by the ledger itself.

    Args:
        path: of the ledger.
        plan: whose it is.
        spec: of the plan.
        epochs: of each trial; None for as many as its recipe asks for.
        left: trials that have not begun.
    """
    draw, known = random.Random(0), teachers(plan)
    with Ledger(path) as ledger:
        ledger._db.execute("PRAGMA synchronous=OFF")  # made up: a crash loses nothing
        ledger.append("sweep", body={"spec": spec.text, "source": spec.source, "host": "here", "pid": 1})
        ledger.append("plan", body=plan.to_json())
        for slot in plan.slots[: len(plan.slots) - left]:
            ledger.append_all(_trial(slot, known, draw, epochs or slot.epochs, plan.protocol))
        ledger.append("stop", body={"exit_code": 0})


def _trial(
    slot: Slot, known: dict[str, TeacherConfig], draw: random.Random, epochs: int, protocol: str
) -> Iterator[Entry]:
    trial = slot.trial(known[slot.teacher] if slot.teacher else None)
    bodies = [epoch_body(draw, epoch, epochs) for epoch in range(1, epochs + 1)]
    yield "start", trial.key, None, start_body(slot, trial, 1.0)
    for body in bodies:
        yield "epoch", trial.key, body["epoch"], body
    taught = {"teacher": known[slot.id].model_dump()} if slot.id in known else {}
    yield "final", trial.key, None, final_body("finished", bodies, protocol) | taught


def made(root: Path, trials: int, *, epochs: int = 10, left: int = 0) -> tuple[Spec, Plan, SweepPaths]:
    """A grid with its ledger below a root."""
    asked = grid(trials, epochs)
    plan, paths = build_plan(asked), SweepPaths(root)
    fill(paths.ledger, plan, asked, left=left)
    return asked, plan, paths
