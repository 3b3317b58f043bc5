"""The literature's numbers beside ours: what a cell's paper, and papers that repeat it, print for it.

``published.csv`` holds one figure a line, as its source prints it; docs/leaderboard.md describes the columns. Papers
name methods and settings in their own ways: :data:`PRINTED` says which of our methods each name is, and with which
hyperparameters, so that a figure stands beside those rows only that did the same.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from sweep.plan.labels import student_of, teacher_of
from sweep.results.rows import Row, Shown

PRINTED: dict[str, tuple[str, dict[str, Any]]] = {
    "student_scratch": ("scratch", {}),
    "student_scratch (NORM reproduction)": ("scratch", {}),
    "KD": ("kd", {}),
    "KD (T=4)": ("kd", {"temperature": 4}),
    "DKD": ("dkd", {"standardize": False}),
    "KD+LS": ("lskd", {}),
    "DKD+LS": ("dkd", {"standardize": True}),
    "CTKD": ("ctkd", {}),
    "MLKD": ("mlkd", {}),
    "DIST": ("dist", {}),
    "NKD": ("nkd", {}),
    "TTM": ("ttm", {}),
    "WTTM": ("wttm", {"ce_weight": 1}),
    "WTTM without CE": ("wttm", {"ce_weight": 0}),
    "RLD": ("rld", {"standardize": False}),
    "LA": ("la", {}),
    "RC": ("rc", {"standardize": False}),
    "LDRLD": ("ldrld", {}),
    "LR": ("lr_revision", {}),
    "SD-KD": ("sdd", {"around": "kd", "ce_weight": 0.1, "alpha": 0.9, "temperature": 4}),
    "SD-DKD": ("sdd", {"around": "dkd"}),
    "SD-NKD": ("sdd", {"around": "nkd", "nkd_classes": "all"}),
    "FitNet": ("fitnet", {}),
    "AT": ("at", {}),
    "NST": ("nst", {}),
    "SP": ("sp", {}),
    "PKT": ("pkt", {}),
    "RKD": ("rkd", {}),
    "VID": ("vid", {}),
    "CRD": ("crd", {}),
    "OFD": ("ofd", {}),
    "ReviewKD": ("reviewkd", {}),
    "CAT-KD": ("catkd", {}),
    "SimKD": ("simkd", {}),
    "SimKD (f=2)": ("simkd", {"factor": 2}),
    "SimKD (f=4)": ("simkd", {"factor": 4}),
    "SimKD (f=8)": ("simkd", {"factor": 8}),
}
"""Our method, and the hyperparameters that the printed name fixes."""
PRINTED |= {
    f"{name} kd_weight={weight}": (method, {"ce_weight": 0.1, field: float(weight), "temperature": 2})
    for name, method, field in (("KD raw logits", "kd", "alpha"), ("KD+LS z-score", "lskd", "kd_weight"))
    for weight in ("0.9", "3", "6", "9", "12", "15", "18")
}  # LSKD's ablation of the weight, its Table 4
CUSTOM: dict[tuple[str, str], dict[str, Any]] = {
    ("cifar100", "KD"): {"ce_weight": 0.1, "alpha": 0.9, "temperature": 4},
}
"""What the field's tables of a data set take for granted: CRD's settings of KD."""
DATASETS = {"tiny-imagenet": "tiny_imagenet"}
"""Our name of a data set, where it is another."""
EPOCHS = {"cifar100": 240, "imagenet": 100}
"""What the field trains for."""
METRICS: dict[Shown, tuple[str, ...]] = {"best": ("top1", "top1_best_epoch"), "last": ("top1", "top1_last_epoch")}
"""Figures that compare with the number shown; papers' plain top-1 is mostly that of the best test epoch."""
REPEATED = "reproduction"
"""How the table's name begins where somebody else than a paper's authors, or an author later, ran a method again."""


@dataclass(frozen=True)
class Figure:
    """One published number."""

    paper: str
    table: str
    dataset: str
    teacher: str
    student: str
    method: str
    """As printed."""
    metric: str
    mean: float
    """Percent."""
    std: float | None
    seeds: int | None
    source: str

    @property
    def origin(self) -> str:
        """Paper, table and source, as the caption cites them."""
        return f"{self.paper}, {self.table} ({self.source})"

    @property
    def settings(self) -> dict[str, Any]:
        """Hyperparameters that the figure was made with, as far as they are told.

        LSKD's released logs are named by theirs: w weighs its KD, and both terms of its DKD.
        """
        known = dict(PRINTED[self.method][1]) | CUSTOM.get((self.dataset, self.method), {})
        told = {name: float(value) for name, value in re.findall(r"\b(tau|w|beta)=([\d.]+)", self.table)}
        if "tau" not in told:
            return known
        known["temperature"] = told["tau"]
        if self.method == "KD+LS":
            known["kd_weight"] = told["w"]
        elif self.method == "DKD+LS":
            known |= {"alpha": told["w"]} | ({"beta": told["w"] * told["beta"]} if "beta" in told else {})
        return known

    @property
    def epochs(self) -> int | None:
        """Where the table's name tells them."""
        told = re.search(r"\b(\d+) epochs", self.table)
        return int(told.group(1)) if told else None


@dataclass(frozen=True)
class Reported:
    """What the literature reports of one cell."""

    mean: float
    """The figure that most sources print, percent."""
    origins: tuple[str, ...]
    """Of the sources that print it."""
    others: tuple[float, ...]
    """What others print, rising."""


@dataclass(frozen=True)
class Gap:
    """Our number against the published one."""

    points: float
    """Ours less theirs, percentage points."""
    stds: float | None
    """The same in units of our standard deviation; None where there is none."""

    @property
    def reproduced(self) -> bool:
        """Whether the published number lies within one standard deviation of ours."""
        return self.stds is not None and abs(self.stds) <= 1


@cache
def figures() -> tuple[Figure, ...]:
    """All of ``published.csv``."""
    text = resources.files("sweep.results").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_figure(line) for line in csv.DictReader(text.splitlines()))


def _figure(line: Mapping[str, str]) -> Figure:
    return Figure(
        paper=line["paper"],
        table=line["table"],
        dataset=DATASETS.get(line["dataset"], line["dataset"]),
        teacher=line["teacher"],
        student=line["student"],
        method=line["method"],
        metric=line["metric"],
        mean=float(line["mean"]),
        std=float(line["std"]) if line["std"] else None,
        seeds=int(line["seeds"]) if line["seeds"] else None,
        source=line["source"],
    )


def bare(name: str) -> str:
    """An architecture as papers name it: ``ResNet34`` of ``imagenet/ResNet34@1a2b3c4d``."""
    return name.partition("@")[0].rpartition("/")[2]


def _of_pair(dataset: str, pair: str, shown: Shown) -> list[Figure]:
    place = (dataset, bare(teacher_of(pair)), bare(student_of(pair)))
    here = [figure for figure in figures() if (figure.dataset, figure.teacher, figure.student) == place]
    return [figure for figure in here if figure.metric in METRICS[shown]]


def reported(row: Row, dataset: str, shown: Shown) -> Reported | None:
    """What is published of a row's cell; None where nothing is."""
    return _summed_up(figure for figure in _of_pair(dataset, row.pair, shown) if _same(figure, row))


def reported_teacher(dataset: str, pair: str, shown: Shown) -> Reported | None:
    """What is published of the accuracy of a pair's teacher."""
    return _summed_up(figure for figure in _of_pair(dataset, pair, shown) if figure.method == "teacher")


def _same(figure: Figure, row: Row) -> bool:
    """Whether a figure is of what the row did.

    The hyperparameters and epochs that the figure tells must be the row's. What the sweep varied is told apart by
    figures that tell it; a tuned row stands for its method at its best, as papers' figures do.
    """
    if PRINTED.get(figure.method, ("", {}))[0] != row.method or not row.config:
        return False
    ours, told = row.config["method"]["params"], figure.settings
    varied = {name for name in row.varied if not name.startswith("recipe.")}
    if any(name in ours and ours[name] != value for name, value in told.items()):
        return False
    if figure.epochs is not None and figure.epochs != row.config["recipe"]["epochs"]:
        return False
    return bool(row.tuned) or varied <= told.keys()


def _summed_up(printed: Iterable[Figure]) -> Reported | None:
    some = list(printed)
    some = [figure for figure in some if not figure.table.startswith(REPEATED)] or some
    if not some:
        return None
    values = [figure.mean for figure in some]
    mean = max(values, key=values.count)  # the first of those that are printed equally often
    origins = tuple(dict.fromkeys(figure.origin for figure in some if figure.mean == mean))
    return Reported(mean, origins, tuple(sorted(set(values) - {mean})))


def gap(row: Row, theirs: Reported) -> Gap | None:
    """Ours against theirs; None while the row has no number."""
    if row.mean is None:
        return None
    points = row.mean - theirs.mean
    return Gap(points, points / row.std if row.std else None)
