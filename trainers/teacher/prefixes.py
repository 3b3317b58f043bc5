"""Under which names a network's weights lie in a state dict: what stands before them, and who lies beside them.

What wraps a network puts its own name before all of the network's keys: DataParallel `module.`, `torch.compile`
`_orig_mod.`, a Lightning module whatever attribute holds the network. Wrappers stand in each other in any order, and a
wrapper may hold others beside the network: a criterion, metrics, the teacher of a distiller. So a state dict can be
read in several ways; :func:`readings` gives them, the plainest first, and which is right shows where one fits an
architecture.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from trainers.teacher.contents import COUNT, count_in, is_averaged, shown, some

WRITERS = {"module": "written by DataParallel", "_orig_mod": "written by a compiled network"}
"""Names that stand before keys, and who writes them."""
KNOWN = ("module", "_orig_mod", "model", "net", "network", "backbone", "encoder")
"""First names under which a network lies beside others that may be larger."""
STUDENT = re.compile(r"(\w*_)?(student|stu)(_\w*)?|(model|net)_s|s_(model|net)")
TEACHER = re.compile(r"(\w*_)?(teacher|tea)(_\w*)?|(model|net)_t|t_(model|net)")
"""First names of the two networks of a distiller's checkpoint."""
INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
"""Names of wrappers around parts of a network, which may stand anywhere in a key."""
COUNTERS = frozenset({"total_ops", "total_params"})
"""Buffers that thop's `profile` leaves in every module."""
BESIDE = re.compile(r"(\w*_)?(criterion|criteria|loss|losses|metrics?|accuracy)\w*")
"""First names of keys that are no network's, where nothing stands before the network's."""
SECOND_HEAD = re.compile(r"(fc|linear|classifier)2\.")
"""DHKD's auxiliary head is called as the main one, with a 2."""
MOST, MOST_NAMES = 64, 16
"""Ways that are tried of a state dict, and of one way the names that are taken from the front of its keys."""
MOST_OF_A_FILE, MOST_KEYS = 128, 100_000
"""Ways that are tried of all state dicts in a file, and keys in those."""


@dataclass(frozen=True)
class Reading:
    """One way to read a state dict."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    """What was removed and left out for it."""
    begun: bool = True
    """Whether what is called averaged in it is a mean of anything."""


@dataclass
class Ration:
    """What may still be tried of a file. One that somebody made for it would otherwise keep an import for hours."""

    ways: int = MOST_OF_A_FILE
    keys: int = MOST_KEYS

    @property
    def spent(self) -> bool:
        """Whether nothing more is to be tried."""
        return self.ways <= 0 or self.keys <= 0

    def take(self, reading: Reading) -> None:
        """Count one way."""
        self.ways -= 1
        self.keys -= len(reading.tensors)


def readings(tensors: dict[str, Tensor], ration: Ration | None = None) -> Iterator[Reading]:
    """The ways to read a state dict, each once, the plainest first, as far as the file's ration goes."""
    ration = ration or Ration()
    first = _without_company(Reading(tensors))
    waiting, seen = deque([first]), {frozenset(first.tensors)}
    for _ in range(MOST):
        if not waiting or ration.spent:
            return
        reading = waiting.popleft()
        ration.take(reading)
        yield _without_second_heads(reading)
        for step in _steps(reading):
            names = frozenset(step.tensors)
            if names not in seen:
                seen.add(names)
                waiting.append(step)


def _without_company(reading: Reading) -> Reading:
    """Without what is no weight of any network, and without the names of wrappers inside it."""
    kept = {key: value for key, value in reading.tensors.items() if _last(key) not in COUNTERS | {COUNT}}
    counted = [name for name in sorted(COUNTERS) if any(_last(key) == name for key in reading.tensors)]
    notes = [*reading.notes, *([f"a profiler's counters left out ({', '.join(counted)})"] if counted else [])]
    count = count_in(reading.tensors)
    notes += [_of_how_many(count)] if count is not None else []
    beside = [key for key in kept if BESIDE.fullmatch(_first(key))]
    if 0 < len(beside) < len(kept):
        kept = {key: value for key, value in kept.items() if key not in beside}
        notes.append(f"left out beside the network: {_counts(beside)}")
    return _unwrapped_inside(Reading(kept, tuple(notes), begun=count != 0))


def _of_how_many(count: int) -> str:
    what = "weights averaged over the training" if count else "the weights before any were averaged"
    return f"{what} ({COUNT} {count})"


def _unwrapped_inside(reading: Reading) -> Reading:
    """Without the names of wrappers behind the first name of a key."""
    tensors, notes = reading.tensors, reading.notes
    for name in INNER:
        there = f".{name}."
        bare = {key.replace(there, "."): value for key, value in tensors.items()}
        if any(there in key for key in tensors) and len(bare) == len(tensors):
            tensors, notes = bare, (*notes, f"'{name}.' removed inside the keys")
    return replace(reading, tensors=tensors, notes=notes)


def _steps(reading: Reading) -> Iterator[Reading]:
    """What the reading becomes when one name is taken from the front of its keys."""
    sizes = Counter(_first(key) for key in reading.tensors if "." in key)
    for name in _candidates(sizes, len(reading.tensors), reading.begun):
        under = {key.partition(".")[2]: v for key, v in reading.tensors.items() if key.startswith(f"{name}.")}
        others = {key: value for key, value in reading.tensors.items() if not key.startswith(f"{name}.")}
        notes = (*reading.notes, f"prefix '{shown(name)}.' removed{_about(name, others)}")
        yield replace(reading, tensors=under, notes=notes)
        if others and under.keys().isdisjoint(others):
            notes = (*reading.notes, f"prefix '{shown(name)}.' removed where it stood")
            yield replace(reading, tensors=under | others, notes=notes)


def _about(name: str, others: Iterable[str]) -> str:
    """Who writes a name, and which keys lie beside it, as the rest of a remark."""
    beside = list(others)
    taught = [key for key in beside if STUDENT.fullmatch(name) and TEACHER.fullmatch(_first(key))]
    writer = WRITERS.get(name, "weights averaged over the training" if is_averaged(name) else "")
    if taught:
        writer = "the student of a distiller's checkpoint; its teacher is left out"
    left = [key for key in beside if key not in taught]
    return (f" ({writer})" if writer else "") + (f"; left out beside it: {_counts(left)}" if left else "")


def _candidates(sizes: Counter[str], of: int, begun: bool) -> list[str]:
    """First names that may be a wrapper's: of averaged weights, a student's, known ones, and whatever half of the keys
    begin with. Averages that were not begun come last."""
    averaged = [name for name in sizes if is_averaged(name)]
    known = [*(name for name in sizes if STUDENT.fullmatch(name)), *(name for name in KNOWN if name in sizes)]
    most = [name for name, size in sizes.most_common() if 2 * size >= of]
    ordered = [*averaged, *known, *most] if begun else [*known, *most, *averaged]
    return list(dict.fromkeys(ordered))[:MOST_NAMES]


def _without_second_heads(reading: Reading) -> Reading:
    tensors, notes = reading.tensors, list(reading.notes)
    heads = {match[1] for key in tensors if (match := SECOND_HEAD.match(key))}
    for head in sorted(head for head in heads if any(key.startswith(f"{head}.") for key in tensors)):
        tensors = {key: value for key, value in tensors.items() if not key.startswith(f"{head}2.")}
        notes.append(f"second head '{head}2' dropped")
    return replace(reading, tensors=tensors, notes=tuple(notes))


def _counts(keys: Iterable[str]) -> str:
    """``criterion (1), teacher (60)``: the first names of keys, and how many keys each has."""
    sizes = Counter(_first(key) for key in keys)
    return some(f"{name} ({size})" for name, size in sizes.items())


def _first(key: str) -> str:
    return key.partition(".")[0]


def _last(key: str) -> str:
    return key.rpartition(".")[2]
