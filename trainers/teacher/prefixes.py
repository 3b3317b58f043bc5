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
from dataclasses import dataclass, field, replace

from torch import Tensor

from trainers.teacher.contents import COUNT, counts_in, shown, some
from trainers.teacher.roles import is_averaged, is_student, is_teacher

WRITERS = {"module": "written by DataParallel", "_orig_mod": "written by a compiled network"}
"""Names that stand before keys, and who writes them."""
KNOWN = ("module", "_orig_mod", "model", "net", "network", "backbone", "encoder")
"""First names under which a network lies beside others that may be larger."""
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
    averaged: bool = False
    """Whether they are a mean over the training, which has been begun."""
    counts: dict[str, int] = field(default_factory=dict)
    """Of how many weights the averages in it are the mean, by the names under which they lie."""
    taught_by: str = ""
    """What was left out of a teacher that lay beside them."""
    of_a_student: bool = False
    """Whether they lay under a student's name."""


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
    first = _without_teacher(_counted(_without_company(Reading(tensors))))
    waiting, seen = deque([first]), {(first.averaged, frozenset(first.tensors))}
    for tried in range(MOST):
        if not waiting or ration.spent:
            return
        reading = _next(waiting, averaged_first=tried < MOST // 2)
        ration.take(reading)
        yield _without_second_heads(_told(reading))
        for step in _steps(reading):
            names = (step.averaged, frozenset(step.tensors))
            if names not in seen:
                seen.add(names)
                waiting.append(step)


def _next(waiting: deque[Reading], *, averaged_first: bool) -> Reading:
    """The plainest that waits; before it whatever is behind the names of averaged weights, however deep."""
    averaged = [number for number, reading in enumerate(waiting) if reading.averaged] if averaged_first else []
    waiting.rotate(-averaged[0] if averaged else 0)
    reading = waiting.popleft()
    waiting.rotate(averaged[0] if averaged else 0)
    return reading


def _without_company(reading: Reading) -> Reading:
    """Without what is no weight of any network, and without the names of wrappers inside it."""
    kept = {key: value for key, value in reading.tensors.items() if _last(key) not in COUNTERS | {COUNT}}
    counted = [name for name in sorted(COUNTERS) if any(_last(key) == name for key in reading.tensors)]
    notes = [*reading.notes, *([f"a profiler's counters left out ({', '.join(counted)})"] if counted else [])]
    beside = [key for key in kept if BESIDE.fullmatch(_first(key))]
    if 0 < len(beside) < len(kept):
        kept = {key: value for key, value in kept.items() if key not in beside}
        notes.append(f"left out beside the network: {_counts(beside)}")
    return _unwrapped_inside(replace(reading, tensors=kept, notes=tuple(notes), counts=counts_in(reading.tensors)))


def _counted(reading: Reading) -> Reading:
    """With what a count says that stands beside the network itself."""
    count = reading.counts.get("")
    if count is None:
        return reading
    return replace(reading, notes=(*reading.notes, _of_how_many(count)), averaged=count > 0)


def _of_how_many(count: int) -> str:
    what = "weights averaged over the training" if count else "the weights before any were averaged"
    return f"{what} ({COUNT} {count})"


def _without_teacher(reading: Reading) -> Reading:
    """Without a teacher's keys, where there are others: it is the student that was trained."""
    teacher = [key for key in reading.tensors if "." in key and is_teacher(_first(key))]
    if not 0 < len(teacher) < len(reading.tensors):
        return reading
    kept = {key: value for key, value in reading.tensors.items() if key not in set(teacher)}
    counts = {at: count for at, count in reading.counts.items() if not is_teacher(_first(at))}
    return replace(reading, tensors=kept, counts=counts, taught_by=_counts(teacher))


def _told(reading: Reading) -> Reading:
    """With a remark on the teacher, unless the one on its student has it."""
    if not reading.taught_by or reading.of_a_student:
        return reading
    return replace(reading, notes=(*reading.notes, f"a teacher's keys left out: {reading.taught_by}"))


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
    for name in _candidates(sizes, reading):
        under = {key.partition(".")[2]: v for key, v in reading.tensors.items() if key.startswith(f"{name}.")}
        others = {key: value for key, value in reading.tensors.items() if not key.startswith(f"{name}.")}
        yield _under(name, under, others, reading)
        if others and under.keys().isdisjoint(others):
            notes = (*reading.notes, f"prefix '{shown(name)}.' removed where it stood")
            yield replace(reading, tensors=under | others, notes=notes, averaged=False)


def _under(name: str, under: dict[str, Tensor], others: Iterable[str], reading: Reading) -> Reading:
    """What a reading is behind one of its names."""
    step = replace(
        reading,
        tensors=under,
        notes=(*reading.notes, f"prefix '{shown(name)}.' removed{_about(name, others, reading)}"),
        averaged=reading.averaged or _begun(name, reading),
        counts={at.partition(".")[2]: count for at, count in reading.counts.items() if _first(at) == name},
        of_a_student=reading.of_a_student or is_student(name),
    )
    return _without_teacher(step if "" in reading.counts else _counted(step))


def _about(name: str, others: Iterable[str], reading: Reading) -> str:
    """Who writes a name, and which keys lie beside it, as the rest of a remark."""
    begun = _begun(name, reading) and is_averaged(name)
    writer = WRITERS.get(name, "weights averaged over the training" if begun else "")
    if is_student(name) and reading.taught_by:
        writer = "the student of a distiller's checkpoint; its teacher is left out"
    left = list(others)
    return (f" ({writer})" if writer else "") + (f"; left out beside it: {_counts(left)}" if left else "")


def _begun(name: str, reading: Reading) -> bool:
    """Whether averaged weights lie under a name, which are a mean of anything."""
    counts = [count for at, count in reading.counts.items() if _first(at) == name]
    return all(counts) and (name in reading.counts or is_averaged(name))


def _candidates(sizes: Counter[str], reading: Reading) -> list[str]:
    """First names that may be a wrapper's: of averaged weights, a student's, known ones, and whatever half of the keys
    begin with. Averages that were not begun come last."""
    begun = [name for name in sizes if _begun(name, reading)]
    known = [*filter(is_student, sizes), *(name for name in KNOWN if name in sizes)]
    most = [name for name, size in sizes.most_common() if 2 * size >= len(reading.tensors)]
    never = [name for name in sizes if is_averaged(name) and name not in begun]
    first = [name for name in dict.fromkeys([*begun, *known, *most]) if name not in never]
    return [*first, *never][:MOST_NAMES]


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
