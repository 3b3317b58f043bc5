"""Which of our architectures weights are: the one whose keys and shapes are theirs, so that a name decides only between
equals.

Where none fits, the nearest is named: the one that most of the shapes are of, in which a name in the path counts too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.errors import CheckpointError, InputError
from trainers.models import MODELS, TIMM, build
from trainers.models.outline import outlines
from trainers.teacher.contents import some
from trainers.teacher.prefixes import Reading
from trainers.teacher.weight_file import FLOATS, check_weights, kind_of

HEADS = ("fc", "linear", "classifier", "classifier.0", "head")
"""What the published definitions call the last layer. DHKD's MobileNets call it otherwise than mdistiller's."""
SHORTCUTS = ("shortcut", "downsample")
"""What they call the layers in a block's shortcut."""
COUNTER = "num_batches_tracked"
"""Of batch norm; files from before torch 0.4.1 have none, and nothing reads it."""
FOLDERS_NAMED = 2
"""Folders above a file whose names may say what it is."""
FOR_A_NAME = 0.25
"""What a name in the path adds to the share of shapes that agree."""
LEAST_ALIKE = 0.3
"""Share of shapes that must agree for an architecture to be called the nearest."""
MISSING, UNKNOWN = "is missing", "is unknown"
NOT_THE_TEACHER = "; the teacher beside it is not taken in its place: save that by itself to import it"
OPTION_A = "a"
"""What ends the names of the ResNets whose shortcuts have no parameters."""


class Fit(NamedTuple):
    """A state dict beside one architecture."""

    architecture: str
    num_classes: int
    state: dict[str, Tensor]
    """In the architecture's order and types."""
    notes: tuple[str, ...]
    differences: tuple[str, ...]
    """Empty where it fits."""


def recognised(readings: Iterable[Reading], path: Path, architecture: str | None) -> Fit:
    """The architecture that a state dict fits, read in the first way in which it fits one.

    Args:
        readings: the ways to read it, the likeliest first.
        path: the file, whose name and folders' names decide between equals.
        architecture: one of our names; None tries all.

    Raises:
        InputError: when several fit and the path names none of them.
        CheckpointError: when none does, or they are no weights.
    """
    tried, faults = [], []
    for reading in readings:
        try:
            check_weights(reading.tensors, path)
        except CheckpointError as error:  # another way may leave out what is no weight
            faults.append(error)
            continue
        tried.append(reading)
        fit = _fitting(reading, path, architecture)
        if fit is not None:
            return fit
    raise faults[0] if faults else CheckpointError(_no_fit(tried, path, architecture))


def _fitting(reading: Reading, path: Path, architecture: str | None) -> Fit | None:
    """What a reading fits, one that the path names before the others. Raises InputError where several fit alike."""
    named = [] if architecture else _named_in(path)
    good: list[Fit] = []
    for names in ([architecture],) if architecture else (named, list(MODELS)):
        good = [fit for name in names if not (fit := _fit(name, reading.tensors)).differences]
        if good:
            break
    if not good:
        return None
    if len({MODELS[fit.architecture] for fit in good}) > 1:  # two names of one definition are no question
        alike = ", ".join(fit.architecture for fit in good)
        raise InputError(f"{path} fits {alike} alike; say which with --architecture")
    return good[0]._replace(notes=(*reading.notes, *good[0].notes, *_other_name(good[0].architecture, named)))


def _other_name(architecture: str, named: list[str]) -> list[str]:
    """What is worth saying of a path that names another architecture."""
    if not named or architecture in named:
        return []
    if architecture.removesuffix(OPTION_A) in named:
        return [f"{architecture.removesuffix(OPTION_A)} with option-A shortcuts, which have no parameters"]
    return [f"the path names {', '.join(named)}, the weights do not"]


# -- where none fits --------------------------------------------------------------------------------------------------


def _no_fit(tried: list[Reading], path: Path, architecture: str | None) -> str:
    """What is wrong with weights that fit nothing, with the keys that the file itself has."""
    own = f"; its own keys begin with {some(tried[0].tensors)}"
    return _differing(tried, path, architecture, own) + (
        NOT_THE_TEACHER if any(reading.taught_by for reading in tried) else ""
    )


def _differing(tried: list[Reading], path: Path, architecture: str | None, own: str) -> str:
    if architecture is not None:
        reading = max(tried, key=lambda reading: _alike(architecture, reading.tensors))
        other = _fitting_any(tried, path)
        differences = _fit(architecture, reading.tensors).differences
        hint = f"; it is a {other}" if other else own if _of_keys(differences) else ""
        return f"{path} is no {architecture}: {some(differences, '; ')}{hint}"
    named = _named_in(path)
    scores = {
        (name, number): _alike(name, reading.tensors) + FOR_A_NAME * (name in named)
        for number, reading in enumerate(tried)
        for name in MODELS
    }
    (name, number), score = max(scores.items(), key=lambda item: item[1])
    if score < LEAST_ALIKE:
        return f"{path} fits no architecture, and none is near{own}"
    differences = _fit(name, tried[number].tensors).differences
    hint = own if _of_keys(differences) else ""
    return f"{path} fits no architecture; the nearest is {name}: {some(differences, '; ')}{hint}"


def _of_keys(differences: Iterable[str]) -> bool:
    """Whether keys differ, and not only what stands under them."""
    return any(difference.endswith((MISSING, UNKNOWN)) for difference in differences)


def _fitting_any(tried: list[Reading], path: Path) -> str | None:
    """The architecture that weights fit which are not what they were said to be."""
    for reading in tried:
        try:
            fit = _fitting(reading, path, None)
        except InputError:
            return None
        if fit is not None:
            return fit.architecture
    return None


def _alike(name: str, tensors: dict[str, Tensor]) -> float:
    """How much of an architecture and of weights is the same: of their shapes, the last layer's left out, and of keys
    with that shape, the mean of the two shares."""
    head, wanted = _template(name, 1)
    body = {key: tuple(t.shape) for key, t in wanted.items() if t.ndim and not key.startswith(f"{head}.")}
    found = {key: tuple(t.shape) for key, t in tensors.items() if t.ndim}
    shapes, theirs = Counter(body.values()), Counter(found.values())
    by_shape = (shapes & theirs).total() / max((shapes | theirs).total(), 1)
    return (by_shape + len(body.items() & found.items()) / max(len(body.keys() | found.keys()), 1)) / 2


# -- one architecture -------------------------------------------------------------------------------------------------


def _fit(name: str, tensors: dict[str, Tensor]) -> Fit:
    """Lay the weights over an architecture, with the adaptations that change no value."""
    head, wanted = _template(name, 1)
    state, notes = _renamed(name, head, tensors)
    without = [key for key in wanted if key.endswith(COUNTER) and key not in state]
    if without:
        state |= {key: torch.tensor(0) for key in without}
        notes.append(f"no '{COUNTER}' in the file: set to 0")
    num_classes = 1
    if state.keys() == wanted.keys():
        weight = state[f"{head}.weight"]
        num_classes = weight.shape[0] if weight.ndim and weight.shape[0] else 1
        wanted = _template(name, num_classes).tensors
    differences = tuple(_differences(state, wanted))
    if not differences:
        state = {key: state[key].detach().resolve_neg().to(tensor.dtype).contiguous() for key, tensor in wanted.items()}
    return Fit(name, num_classes, state, tuple(notes), differences)


def _renamed(name: str, head: str, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under our names of the last layer, and of everything where timm names it without our prefix."""
    notes = []
    if name.startswith(TIMM) and not any(key.startswith("network.") for key in tensors):
        tensors = {f"network.{key}": value for key, value in tensors.items()}
    tensors, shortcuts = _shortcuts_renamed(tensors, _template(name, 1).tensors)
    notes += shortcuts
    if f"{head}.weight" not in tensors:
        known = _template(name, 1).tensors
        other = next((at for at in HEADS if f"{at}.weight" in tensors and f"{at}.weight" not in known), None)
        if other is not None:
            ends = {f"{other}.{end}": f"{head}.{end}" for end in ("weight", "bias")}
            tensors = {ends.get(key, key): value for key, value in tensors.items()}
            notes.append(f"head '{other}' renamed '{head}'")
    return dict(tensors), notes


def _shortcuts_renamed(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights with an architecture's own name of the layers in shortcuts, where they have the other usual one."""
    for theirs, ours in (SHORTCUTS, SHORTCUTS[::-1]):
        foreign = any(f".{theirs}." in key for key in tensors) and not any(f".{theirs}." in key for key in wanted)
        if foreign and any(f".{ours}." in key for key in wanted):
            renamed = {key.replace(f".{theirs}.", f".{ours}."): value for key, value in tensors.items()}
            return renamed, [f"'{theirs}' renamed '{ours}'"]
    return tensors, []


def _differences(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> Iterator[str]:
    """One phrase for every key that is missing or too many; where all are there, for every one of another shape or
    kind of numbers."""
    yield from (f"{key} {MISSING}" for key in wanted if key not in state)
    yield from (f"{key} {UNKNOWN}" for key in state if key not in wanted)
    if state.keys() == wanted.keys():
        for key, tensor in wanted.items():
            if state[key].shape != tensor.shape:
                yield f"{key} is {list(state[key].shape)} instead of {list(tensor.shape)}"
            elif tensor.is_floating_point() and state[key].dtype not in FLOATS:
                yield f"{key} holds {kind_of(state[key])} instead of {kind_of(tensor)}"


class _Template(NamedTuple):
    """An architecture's state dict without numbers."""

    head: str
    """Name of the last layer."""
    tensors: dict[str, Tensor]


@cache
def _template(name: str, num_classes: int) -> _Template:
    with outlines():
        network = build(name, num_classes=num_classes)
    head = next(key for key, module in network.named_modules() if module is network.classifier)
    return _Template(head, dict(network.state_dict()))


def _named_in(path: Path) -> list[str]:
    """The architectures that the file's or its folders' names mention, whatever the case; the file's come first.

    ``resnet32x4_vanilla/ckpt_epoch_240.pth`` mentions resnet32x4, ``resnet50-0676ba61.pth`` both ResNet50s.
    """
    parts = [part.lower().replace("-", "_") for part in path.absolute().parts[: -FOLDERS_NAMED - 2 : -1]]
    patterns = {name: re.compile(rf"(?<![a-z0-9]){name.rpartition('/')[2].lower()}(?![a-z0-9])") for name in MODELS}
    return list({name: None for part in parts for name, pattern in patterns.items() if pattern.search(part)})
