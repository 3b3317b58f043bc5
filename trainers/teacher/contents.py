"""Where the weights lie in what a checkpoint holds: the state dicts in it, the likeliest first.

A file may be a state dict, or have it under a name, at any depth, beside an optimiser, options and numbers. It may have
two of one network: the weights as they were trained, and their average over the training (EMA, SWA). The averaged are
taken, as timm takes them: it is they that such scripts evaluate and publish. Averages that were never begun are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainers.errors import printable, shortened
from trainers.teacher.roles import is_averaged, is_student, is_teacher, words

WRAPPERS = ("model", "state_dict", "model_state_dict", "net", "network", "student", "weights", "params")
"""Keys under which training scripts keep the state dict, the usual ones first."""
OTHERS = re.compile(r"(opt|optim|optimi[sz]er|sched|scheduler|scaler|criterion|loss|callback|loop|metric|rng)(s|es)?")
"""Words in the names of what lies beside a network's weights and may hold tensors too."""
NETWORKS = frozenset({"model", "net", "network", "student", "teacher", "weights", "params"})
"""Words that make such a name a network's all the same, which comes after others: `best_loss_model`."""
BEST, LAST = frozenset({"best"}), frozenset({"last", "latest", "final", "current"})
"""Words in the names of weights of one training, of which the best are what is published."""
COUNT = "n_averaged"
"""How many weights torch's `AveragedModel` has the mean of, beside them."""
DEEPEST = 4
"""Names under each other at which state dicts are looked for."""
MOST = 1000
"""Of a mapping, entries that are looked into; of a list, too."""
LONGEST, MOST_KEYS = 500, 50_000
"""Characters of a weight's name, and how many weights a network has. What has more is no state dict."""
SHOWN = 3
"""Names that a remark lists."""


@dataclass(frozen=True)
class StateDict:
    """Named tensors in a checkpoint."""

    at: tuple[str, ...]
    """The names under which they lie; none where they are the whole file."""
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    """What was left out beside them."""

    @property
    def form(self) -> str:
        """How they lay in the file."""
        return f"state dict under '{self.where}'" if self.at else "state dict"

    @property
    def where(self) -> str:
        """The names under which they lie, as a message has them."""
        return shown(".".join(self.at))

    @property
    def averaged(self) -> bool:
        """Whether they are a mean over the training, which has been begun."""
        return self.count != 0 and self.claims

    @property
    def of_a_teacher(self) -> bool:
        """Whether they lie under a teacher's name."""
        return any(map(is_teacher, self.at))

    @property
    def claims(self) -> bool:
        """Whether they say that they are a mean over the training."""
        return self.count is not None or any(map(is_averaged, self.at))

    @property
    def count(self) -> int | None:
        """Of how many weights they are the mean; None where it is not said."""
        return next(iter(counts_in(self.tensors).values()), None)


def counts_in(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """What each :data:`COUNT` says that is a whole number in memory, by the names that stand before it."""
    counts = ((key.rpartition("."), value) for key, value in tensors.items() if key.rpartition(".")[2] == COUNT)
    return {at: int(value) for (at, _, _), value in counts if _is_whole(value)}


def _is_whole(count: Tensor) -> bool:
    in_memory = count.device.type == "cpu" and count.layout is torch.strided
    return in_memory and count.dtype == torch.int64 and count.numel() == 1


def state_dicts(content: Any) -> list[StateDict]:
    """The state dicts in what a file holds: averaged ones first, then as :data:`WRAPPERS` has their names."""
    return sorted(_found(content, (), set()), key=_rank)


def _rank(found: StateDict) -> tuple[bool, bool, bool, bool, int, int, int]:
    """Low for what is taken first; equal ones stay in the file's order."""
    last = found.at[-1] if found.at else None
    known = WRAPPERS.index(last) if last in WRAPPERS else len(WRAPPERS) if found.at else -1
    said = {word for name in found.at for word in words(name)}
    age = 0 if said & BEST else 2 if said & LAST else 1
    beside = any(map(_is_another, found.at))
    never = found.claims and not found.averaged
    return never, found.of_a_teacher, beside, not found.averaged, age, len(found.at), known


def _found(value: Any, at: tuple[str, ...], seen: set[int]) -> Iterator[StateDict]:
    """Those in a value, itself before what it holds; what is in `seen` (a file may hold itself) is not looked into."""
    if id(value) in seen:
        return
    seen.add(id(value))
    state = _as_state_dict(value, at)
    if state is not None:
        yield state
        return
    if len(at) < DEEPEST:
        for name, item in _entries(value):
            if isinstance(item, Mapping | list | tuple) and (not _is_another(name) or NETWORKS & set(words(name))):
                yield from _found(item, (*at, name), seen)


def _is_another(name: str) -> bool:
    """Whether a name has a word of what lies beside weights."""
    return any(map(OTHERS.fullmatch, words(name)))


def _entries(value: Any) -> list[tuple[str, Any]]:
    """What a mapping or a sequence holds, by name or number."""
    if isinstance(value, Mapping):
        return [(key, item) for key, item in list(value.items())[:MOST] if isinstance(key, str)]
    return [(str(number), item) for number, item in enumerate(value[:MOST])] if isinstance(value, list | tuple) else []


def _as_state_dict(value: Any, at: tuple[str, ...]) -> StateDict | None:
    """The tensors of a mapping that has names of weights; other values among them are left out."""
    if not isinstance(value, Mapping) or len(value) > MOST_KEYS or not all(map(_is_name, value)):
        return None
    tensors = {key: item for key, item in value.items() if isinstance(item, Tensor)}
    others = [key for key in value if key not in tensors]
    named = (not at and not others) or (bool(at) and is_student(at[-1]))
    if not tensors or not (named or _weights_in(tensors)):
        return None
    left = (f"left out beside the weights: {some(others)} (no tensors)",) if others else ()
    return StateDict(at, tensors, left)


def _is_name(key: object) -> bool:
    return isinstance(key, str) and len(key) <= LONGEST


def _weights_in(tensors: Mapping[str, Tensor]) -> bool:
    return any(key.endswith(".weight") for key in tensors)


def shown(name: str) -> str:
    """A name out of a file as messages have it: not too long, and nothing in it that a terminal would obey."""
    return printable(shortened(name))


def some(items: Any, between: str = ", ") -> str:
    """The first few, and how many more there are."""
    listed = list(items)
    more = f"{between}and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return between.join(map(_shown, listed[:SHOWN])) + more


def _shown(item: object) -> str:
    """A name, or a number; of any other key of a mapping only what it is."""
    return shown(str(item)) if isinstance(item, str | int | float) else type(item).__name__
