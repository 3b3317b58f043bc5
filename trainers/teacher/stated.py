"""The accuracy that a checkpoint itself states, to hold against what is measured here.

Training scripts keep it beside the weights, under many names and as percent or as a share of one: `best_acc`,
`best_prec1`, `best_top1`, `metrics: {val_acc: …}`; Lightning under its callbacks, or in the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.config import Frozen
from trainers.teacher.contents import shown

ACCURACY = frozenset({"acc", "acc1", "accuracy", "accuracies", "top1", "prec", "prec1", "precision1"})
"""Words in the names of top-1 accuracies."""
BESIDE = frozenset(
    {
        *("best", "last", "final", "current", "cur", "max", "highest", "top", "mean", "avg", "average", "overall"),
        *("val", "valid", "validation", "test", "testing", "eval", "evaluation", "dev", "held", "out", "holdout"),
        *(
            "metric",
            "metrics",
            "result",
            "results",
            "score",
            "scores",
            "stats",
            "monitor",
            "percent",
            "pct",
            "at",
            "so",
        ),
        *("model", "net", "network", "student", "ema", "swa", "clean", "cls", "classification", "image"),
        *("cifar", "cifar10", "cifar100", "digits", "mnist", "svhn", "imagenet", "stl10", "1", ""),
    }
)
"""Words that may stand beside those. With any other it is something else: `best_acc_epoch`, `grad_acc`."""
OF_ANOTHER = frozenset({"train", "training", "trn", "teacher", "teachers"})
"""Names of mappings whose accuracies are others: of the training images, of another network."""
IN_A_NAME = re.compile(r"([a-z][a-z0-9_@-]*)=(\d+(?:\.\d+)?)")
"""What the file names of Lightning's checkpoints say: ``epoch=10-val_acc=0.92.ckpt``."""
HIGHEST = 100
"""Percent."""
DEEPEST = 3
"""Mappings in each other that are looked into."""
MOST = 1000
"""Entries of a mapping that are looked into."""


class Stated(Frozen):
    """A top-1 accuracy that a file states of its weights."""

    name: str
    """Under which it stands in the file, or `the file's name`."""
    percent: float


def stated_accuracy(content: Any, path: Path) -> Stated | None:
    """The highest top-1 accuracy that a file states, since that of the best epoch is what is published; None where it
    states none.

    Args:
        content: what the file holds.
        path: the file, whose name may state one.
    """
    found = [*_stated(content, 0, set()), *_in_name(path)]
    return max(found, key=lambda stated: stated.percent, default=None)


def _stated(value: Any, depth: int, seen: set[int]) -> Iterator[Stated]:
    """What a mapping states, and those in it; what is in `seen` (a file may hold itself) is not looked into."""
    if not isinstance(value, Mapping) or depth > DEEPEST or id(value) in seen:
        return
    seen.add(id(value))
    yield from _monitored(value)
    of_weights = _is_state_dict(value)  # whose tensors are a network's, whatever they are called
    entries = [(key, item) for key, item in value.items() if not (of_weights and isinstance(item, Tensor))]
    for key, item in entries[:MOST]:
        if not isinstance(key, str) or key.lower() in OF_ANOTHER:
            continue
        yield from _one(key, item)
        yield from _stated(vars(item) if type(item).__name__ == "Namespace" else item, depth + 1, seen)


def _monitored(callback: Mapping[Any, Any]) -> Iterator[Stated]:
    """What Lightning's checkpoint callback says of the weights: the best score of what it watches."""
    monitor = callback.get("monitor")
    if isinstance(monitor, str) and is_accuracy(monitor):
        for name in ("best_model_score", "current_score"):
            yield from (
                stated.model_copy(update={"name": shown(monitor)}) for stated in _one("acc", callback.get(name))
            )


def _one(name: str, value: Any) -> Iterator[Stated]:
    number = _number(value) if is_accuracy(name) else None
    if number is not None and 0 < number <= HIGHEST:
        yield Stated(name=shown(name), percent=100 * number if number <= 1 else number)


def _in_name(path: Path) -> Iterator[Stated]:
    for name, number in IN_A_NAME.findall(path.name.lower().removesuffix(path.suffix.lower())):
        of_another = not OF_ANOTHER.isdisjoint(name.split("-"))
        yield from _one(name if is_accuracy(name) or of_another else name.rpartition("-")[2], float(number))


def is_accuracy(name: str) -> bool:
    """Whether a name is that of a top-1 accuracy, not of the training images."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(acc|top|prec)[@_-]?([15])\b", r"\1\2", spaced)))
    return bool(words & ACCURACY) and words <= ACCURACY | BESIDE


def _number(value: Any) -> float | None:
    """A single number; of a tensor only one that is in memory."""
    if isinstance(value, Tensor):
        plain = value.numel() == 1 and value.device.type == "cpu" and value.layout is torch.strided
        value = value.item() if plain and not value.is_complex() and not value.is_quantized else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -HIGHEST <= value <= HIGHEST:
        return None
    return float(value)


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, str) and key.endswith((".weight", ".bias")) for key in value)
