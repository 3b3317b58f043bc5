"""The plan as data: slots, searched cells, and all of them together.

A student's trial key holds its teacher's content hash, which is known only once the teacher is trained. A **slot**
stands for the trial until then; its id is the same hash with the key of the teacher's own trial instead. Plans are
plain JSON, so that `sweep status` and `sweep leaderboard` read them from the ledger without importing torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

from search_spaces.space import count
from sweep.plan.labels import TUNED, label, untuned
from trainers.config import TeacherConfig, TrialConfig
from trainers.storage.content import content_key

Stage = Literal["teacher", "search", "race", "confirm"]
RULES = 2
"""How searches ask that begin now: for the usual values first and for no point twice. Those that an earlier release
has begun note no rules, which are 1 (:mod:`sweep.search.begun`): these begin nowhere, and a sampler may come back to a
point."""
PAUSING = 3
"""How those ask that pause trials and take them up again, as the spec says (`search: {pauses: true}`)."""

LATENCY = "student_latency"
"""The field of a searched cell that depends on the machine."""
LATER = ("table", "latencies", "compiled")
"""Sections of a plan that came later, and are not noted where they are empty."""


@dataclass(frozen=True)
class Slot:
    """One planned trial."""

    id: str
    stage: Stage
    pair: str
    """``resnet20→resnet8``; for a teacher its architecture."""
    method: str
    label: str
    """The method with the hyperparameters in which the sweep's entries of it differ: ``dhkd α=0.5``."""
    varied: dict[str, Any]
    """Those hyperparameters."""
    recipe: str
    """The recipe's name with the fields that the spec sweeps over."""
    seed: int
    config: dict[str, Any]
    """The trial's config; a student's lacks only its teacher."""
    teacher: str | None = None
    """Slot id of the teacher that it waits for."""

    @property
    def name(self) -> str:
        """What a person calls it: ``resnet20→resnet8 · dhkd α=0.5 · seed 0``."""
        who = f"teacher {self.pair}" if self.stage == "teacher" else f"{self.pair} · {self.row}"
        varied = self.recipe.partition(" ")[2]
        of_search = self.stage if self.stage in ("search", "race") else ""
        return " · ".join(part for part in (who, varied, of_search, f"seed {self.seed}") if part)

    @property
    def row(self) -> str:
        """The configuration in words: the label; of what a search has won with its values, since several may be
        confirmed."""
        won = self.stage == "confirm" and self.label.endswith(TUNED)
        return label(self.method, self.varied) + TUNED if won else self.label

    @property
    def epochs(self) -> int:
        """Of the trial, from its recipe."""
        return int(self.config["recipe"]["epochs"])

    @cached_property
    def _untaught(self) -> TrialConfig:
        return TrialConfig.model_validate(self.config)

    def trial(self, teacher: TeacherConfig | None = None) -> TrialConfig:
        """The trial's whole config, once its teacher is known."""
        if teacher is None:
            return self._untaught
        return TrialConfig.model_validate(self.config | {"teacher": teacher.model_dump()})


@dataclass(frozen=True)
class SearchedCell:
    """A searched cell: what its trials share, and the space in which they differ."""

    id: str
    pair: str
    method: str
    label: str
    """The row of what the search has won: ``gdkd tuned``."""
    varied: dict[str, Any]
    """The hyperparameters in which the sweep's entries of the method differ."""
    recipe: str
    seeds: tuple[int, ...]
    config: dict[str, Any]
    """The trials' config with the first seed; searched fields have the first of their values."""
    space: dict[str, dict[str, Any]]
    """Searched fields, as :data:`search_spaces.space.Space`; those of the recipe as ``recipe.lr``."""
    search: dict[str, Any]
    """The spec's `search` section, the `rules` by which it asks, and the point with which it `begins`, if any."""
    teacher: str | None = None
    """Slot id of the teacher that it waits for."""
    student_macs: int = 0
    """Multiply-accumulates of the student's forward pass on one image, where the search asks for them."""
    student_latency: float = 0.0
    """Milliseconds of the student's forward pass on one image, as this machine takes (:mod:`sweep.cost.latency`), where
    the search asks for them; 0: not asked for, or not measured yet. Like the MACs it is one number for all trials."""
    also: tuple[dict[str, Any], ...] = ()
    """Where else the same search stands (`pair`, `label`, `varied` and `recipe` of each): ``scratch`` under every pair
    that shares its student. It is run once."""

    @property
    def places(self) -> list[SearchedCell]:
        """The cell as it stands under each of its pairs, the first of them itself."""
        return [self, *(replace(self, **other, also=()) for other in self.also)]

    @property
    def name(self) -> str:
        """What a person calls it: ``resnet20→resnet8 · gdkd tuned``."""
        return f"{self.pair} · {self.label}"

    @property
    def epochs(self) -> int:
        """Of one trial; where the number of epochs is searched, the largest."""
        searched = self.space.get("recipe.epochs")
        if searched is None:
            return int(self.config["recipe"]["epochs"])
        return int(max(searched.get("choice") or searched["range"]))

    @property
    def rules(self) -> int:
        """By which it asks (:data:`RULES`)."""
        return int(self.search.get("rules", 1))

    @property
    def pauses(self) -> bool:
        """Whether it pauses trials and takes them up again (:mod:`sweep.search.pausing`)."""
        return bool(self.search.get("pauses")) and self.search["sampler"] == self.search["pruner"] == "curves"

    @property
    def budget(self) -> int:
        """Suggestions at most: where no point is tried twice, no more than there are."""
        trials, points = int(self.search["trials"]), count(self.space)
        each_once = self.rules > 1 or self.search["sampler"] in ("grid", "brute_force", "curves")
        return min(trials, points) if each_once and points is not None else trials

    @property
    def racing(self) -> int:
        """Seeds that the race of its best has at most; 0: none races."""
        return int(self.search.get("race", 0))

    @property
    def race_trials(self) -> int:
        """Of its race, at most."""
        best = min(int(self.search["confirm"]), self.budget)
        return best * self.racing if best > 1 else 0

    @property
    def trials(self) -> int:
        """Search trials, those of its race and confirming ones, at most; with the search's seed, the first and the last
        are one."""
        confirmed = 1 if self.racing else min(int(self.search["confirm"]), self.budget)
        return self.budget + self.race_trials + confirmed * (len(self.seeds) - 1)

    def slot(self, params: dict[str, Any], stage: Stage, seed: int) -> Slot:
        """One configuration of the cell with a seed."""
        config = filled(self.config, params) | {"seed": seed}
        key = TrialConfig.model_validate(config).key
        tried = "" if stage == "confirm" else " " + label("", params).strip()
        return Slot(
            id=content_key([key, self.teacher]) if self.teacher else key,
            stage=stage,
            pair=self.pair,
            method=self.method,
            label=self.label if stage == "confirm" else untuned(self.label) + tried,
            varied=self.varied | params,
            recipe=self.recipe,
            seed=seed,
            config=config,
            teacher=self.teacher,
        )


def as_under(place: SearchedCell, cell: SearchedCell, slot: Slot) -> Slot:
    """A slot of a search as it stands under one of its pairs.

    Args:
        place: one of the cell's places.
        cell: whose slot it is.
        slot: of the search, or of what it has won.
    """
    ours, theirs = (cell.label, place.label) if slot.stage == "confirm" else (untuned(cell.label), untuned(place.label))
    tried = {name: value for name, value in slot.varied.items() if name in cell.space}
    label = theirs + slot.label.removeprefix(ours)
    return replace(slot, pair=place.pair, label=label, varied=place.varied | tried, recipe=place.recipe)


def filled(config: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """A trial's config with searched values put in; those of the recipe are named ``recipe.lr``."""
    recipe = {key.removeprefix("recipe."): value for key, value in params.items() if key.startswith("recipe.")}
    own = {key: value for key, value in params.items() if not key.startswith("recipe.")}
    method = config["method"] | {"params": config["method"]["params"] | own}
    return config | {"recipe": config["recipe"] | recipe, "method": method}


@dataclass(frozen=True)
class Plan:
    """All slots of a sweep, teachers first, then one seed of everything after the other."""

    name: str
    description: str
    dataset: str
    protocol: Literal["validation", "paper"]
    baseline: str
    compute: dict[str, Any]
    slots: tuple[Slot, ...]
    notes: tuple[str, ...] = field(default=())
    source: dict[str, Any] = field(default_factory=dict)
    """The data source's whole options, where the data lie included."""
    cells: tuple[SearchedCell, ...] = field(default=())
    """What is searched; its trials become slots as the search goes on."""
    seeds: tuple[int, ...] = field(default=())
    budget: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)
    """What a network reads: `size` (height and width in pixels), `classes`, and the channels' `mean` and `std`."""
    networks: dict[str, dict[str, int]] = field(default_factory=dict)
    """By architecture its `parameters` and `macs`, multiply-accumulates of a forward pass of one image; those that
    could not be counted are left out."""
    parts: tuple[dict[str, Any], ...] = ()
    """Each way in which its trials cut the data set: the recipe's fields that decide it, and how many images are in
    `train`, `held_out` and `test`."""
    code: str = ""
    """The key of the user's files that it needs (:attr:`trainers.code.Code.key`); empty: none."""
    latencies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By architecture of a student how long it takes on the machine that ran the sweep, where that was measured."""
    compiled: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What `compile: auto` has come to (:mod:`sweep.plan.compiling`); it stays so when the sweep is gone on with."""
    table: dict[str, Any] = field(default_factory=dict)
    """How the table is printed, as :class:`search_spaces.table.Table` has it where that is not the default."""

    @property
    def teachers(self) -> list[Slot]:
        """The slots of the teachers that the sweep trains."""
        return [slot for slot in self.slots if slot.stage == "teacher"]

    @property
    def students(self) -> list[Slot]:
        """All other slots, `scratch` included; those of searches are not known yet."""
        return [slot for slot in self.slots if slot.stage != "teacher"]

    @property
    def searched(self) -> list[SearchedCell]:
        """The searched cells under every pair at which they stand."""
        return [place for cell in self.cells for place in cell.places]

    @property
    def count(self) -> int:
        """Trials: a slot that stands under several pairs (scratch, where they share a student) is one; of searches at
        most so many."""
        return len({slot.id for slot in self.slots}) + sum(cell.trials for cell in self.cells)

    @property
    def epochs(self) -> int:
        """Of all trials, at most: searches give some up earlier."""
        fixed = sum({slot.id: slot.epochs for slot in self.slots}.values())
        return fixed + sum(cell.trials * cell.epochs for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """The plan as the ledger's event `plan` holds it; its parts are the plan's own. Without its
        sections that came later it is what earlier releases noted, so that a sweep of theirs is no other plan."""
        whole = _fields(self) | {"slots": [_fields(slot) for slot in self.slots]}
        cells = [_fields(cell) for cell in self.cells]
        whole["cells"] = [{name: value for name, value in cell.items() if value or name != LATENCY} for cell in cells]
        return {name: value for name, value in whole.items() if value or name not in LATER}

    def is_noted_as(self, content: dict[str, Any]) -> bool:
        """Whether an event's body is this plan. What networks come to and how images are cut makes no other plan: it
        follows from the rest, and earlier releases did not note it. Nor does how long networks take on a machine."""
        ours = json.loads(json.dumps(self.to_json()))
        return _without_facts(ours) == _without_facts(content)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Plan:
        """The plan in an event's body, that of an older ledger included, which lacks the newer sections."""
        cells = tuple(
            SearchedCell(**(cell | {"seeds": tuple(cell["seeds"]), "also": tuple(cell.get("also", ()))}))
            for cell in content.get("cells", ())
        )
        slots = tuple(Slot(**slot) for slot in content["slots"])
        listed = {"slots": slots, "cells": cells, "notes": tuple(content["notes"])}
        listed |= {"parts": tuple(content.get("parts", ()))}
        return cls(**(content | listed | {"seeds": tuple(content.get("seeds", ()))}))


def _fields(one: Plan | Slot | SearchedCell) -> dict[str, Any]:
    """By name, what lies in them not copied: plans are long."""
    return {each.name: getattr(one, each.name) for each in fields(one)}


def is_number(value: Any) -> bool:
    """Whether a hyperparameter's value has a place on an axis."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _without_facts(content: dict[str, Any]) -> dict[str, Any]:
    cells = [{name: value for name, value in cell.items() if name != LATENCY} for cell in content.get("cells", ())]
    kept = {
        name: value for name, value in content.items() if name not in ("networks", "parts", "latencies", "compiled")
    }
    return kept | ({"cells": cells} if "cells" in content else {})
