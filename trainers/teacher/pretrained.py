"""Checkpoints that others have published, read as data: whose weights they are, and under which of our names.

What is read: a bare state dict; one under `model`, `state_dict` and the like, beside whatever a training script put
there (RepDistiller, mdistiller, torchvision's references, DHKD); our own ``weights.pt``; a `.safetensors` file. Keys
may carry the prefixes of `DataParallel`, `torch.compile` and mdistiller's distillers. DHKD's second heads are dropped.
The architecture is the one whose keys and shapes are those of the file, so a name in the path decides only between
equals.

A file is never trusted: see :mod:`trainers.teacher.weight_file`.

Sources: github.com/HobbitLong/RepDistiller, github.com/megvii-research/mdistiller, github.com/penghui-yang/DHKD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainers.config import Frozen
from trainers.errors import CheckpointError, InputError
from trainers.models import MODELS, TIMM, Network, build
from trainers.models.outline import outlines
from trainers.storage.content import tensors_key
from trainers.teacher.weight_file import FLOATS, check_weights, kind_of, read_content

SUFFIXES = (".pth", ".pt", ".pth.tar", ".safetensors")
"""How the names of weight files end."""
WRAPPERS = ("model", "state_dict", "model_state_dict", "net", "network")
"""Keys under which training scripts keep the state dict, beside the optimiser's and others."""
PREFIXES = {
    "module.": "written by DataParallel",
    "_orig_mod.": "written by a compiled network",
    "student.": "the student of a distiller's checkpoint; its teacher is left out",
}
"""What may stand before every key (the student's, every key that counts)."""
HEADS = ("fc", "linear", "classifier", "classifier.0", "head")
"""What the published definitions call the last layer. DHKD's MobileNets call it otherwise than mdistiller's."""
SECOND_HEAD = re.compile(r"(fc|linear|classifier)2\.")
"""DHKD's auxiliary head is called as the main one, with a 2."""
COUNTER = "num_batches_tracked"
"""Of batch norm; files from before torch 0.4.1 have none, and nothing reads it."""
FOLDERS_NAMED = 2
"""Folders above a file whose names may say what it is."""
MOST_SHOWN = 3
"""Differences that a message lists."""


class Imported(Frozen):
    """Where weights come from that were trained elsewhere."""

    file: str
    """The file's name, with its folder's."""
    sha256: str
    """Checksum of that file."""
    form: str
    """How the weights lay in it."""
    notes: tuple[str, ...] = ()
    """What was changed for them to fit our definition, and what else is worth knowing."""


@dataclass(frozen=True)
class Pretrained:
    """Weights that fit one of our architectures."""

    architecture: str
    num_classes: int
    state_dict: dict[str, Tensor]
    """As our definition names, orders and types them."""
    origin: Imported

    @cached_property
    def hash(self) -> str:
        """Content hash of the weights, which names the teacher in a store."""
        return tensors_key(self.state_dict)

    def network(self) -> Network:
        """The network in evaluation mode, on the CPU; torch's generators stay as they are."""
        with torch.random.fork_rng(devices=[]):
            network = build(self.architecture, num_classes=self.num_classes)
        network.load_state_dict(self.state_dict)
        return network.eval()


def read(path: Path, architecture: str | None = None) -> Pretrained:
    """Read a published checkpoint; no code in it is run.

    Args:
        path: the file.
        architecture: one of our names; by default it is recognised.

    Raises:
        InputError: when there is no such file, no such architecture, or several fit and the path names none of them.
        CheckpointError: when the file is no checkpoint, needs code to be read, holds tensors that are no weights, or
            fits no architecture.
    """
    if architecture is not None:
        MODELS[architecture]  # an unknown name is refused before the file is read
    content, sha256 = read_content(path)
    form, named, tensors = _state_dict(content, path)
    tensors, notes = _plain_keys(tensors)
    check_weights(tensors, path)
    fit = _recognised(tensors, path, architecture or named)
    for key, value in fit.state.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {key} holds NaN or infinite values")
    origin = Imported(
        file="/".join(path.absolute().parts[-2:]),
        sha256=sha256,
        form=form,
        notes=(*notes, *fit.notes),
    )
    return Pretrained(fit.architecture, fit.num_classes, fit.state, origin)


def _state_dict(content: Any, path: Path) -> tuple[str, str | None, dict[str, Tensor]]:
    """How the weights lie in the file, the architecture where the file says it (ours do), and the weights."""
    if _all_tensors(content):
        return "state dict", None, content
    wrapper = next((key for key in WRAPPERS if isinstance(content, dict) and _all_tensors(content.get(key))), None)
    if wrapper is None:
        keys = f" with the keys {_some(list(content))}" if isinstance(content, dict) else ""
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}{keys}; expected a state dict, or one under {_some(WRAPPERS)}"
        )
    named = content.get("architecture")
    if wrapper == "state_dict" and isinstance(named, str):
        _refuse_more_than_a_student(content, named, path)
        return "weights.pt of this project", named, content[wrapper]
    return f"state dict under '{wrapper}'", None, content[wrapper]


def _refuse_more_than_a_student(content: Mapping[str, Any], named: str, path: Path) -> None:
    """What a method predicts with, such as both of DHO's heads, would be cut down to a student that it never was."""
    if any(key.startswith("student.") for key in content["state_dict"]):
        method = content.get("method")
        name = method.get("name") if isinstance(method, Mapping) else None
        raise CheckpointError(
            f"{path} holds a {named} with what the method '{name}' predicts through besides; a teacher is one"
            " architecture alone: import a trial's of another method"
        )


def _all_tensors(value: Any) -> bool:
    """Whether this is a state dict: at least one tensor, by name, and nothing else."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())
    )


def _plain_keys(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights without prefixes and second heads, and what was left out."""
    notes = []
    for prefix, what in PREFIXES.items():
        under = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if under and (prefix == "student." or len(under) == len(tensors)):
            tensors = under
            notes.append(f"prefix '{prefix}' removed ({what})")
    heads = {match[1] for key in tensors if (match := SECOND_HEAD.match(key))}
    for head in sorted(head for head in heads if any(key.startswith(f"{head}.") for key in tensors)):
        tensors = {key: value for key, value in tensors.items() if not key.startswith(f"{head}2.")}
        notes.append(f"second head '{head}2' dropped")
    return tensors, notes


# -- the architecture -------------------------------------------------------------------------------------------------


class _Fit(NamedTuple):
    """A state dict beside one architecture."""

    architecture: str
    num_classes: int
    state: dict[str, Tensor]
    """In the architecture's order and types."""
    notes: tuple[str, ...]
    differences: tuple[str, ...]
    """Empty where it fits."""


def _recognised(tensors: dict[str, Tensor], path: Path, architecture: str | None) -> _Fit:
    """The architecture that fits, one that the path names before the others; see :func:`read`."""
    named = [] if architecture else _named_in(path)
    fits, good = [], []
    for names in ([architecture],) if architecture else (named, list(MODELS)):
        fits = [_fit(name, tensors) for name in names]
        good = [fit for fit in fits if not fit.differences]
        if good:
            break
    if not good:
        nearest = min(fits, key=lambda fit: len(fit.differences))
        what = "is no" if architecture else "fits no architecture; the nearest is"
        raise CheckpointError(f"{path} {what} {nearest.architecture}: {_some(nearest.differences, '; ')}")
    if len({MODELS[fit.architecture] for fit in good}) > 1:  # two names of one definition are no question
        alike = ", ".join(fit.architecture for fit in good)
        raise InputError(f"{path} fits {alike} alike; say which with --architecture")
    fit = good[0]
    if named and fit.architecture not in named:
        fit = fit._replace(notes=(*fit.notes, f"the path names {', '.join(named)}, the weights do not"))
    return fit


def _fit(name: str, tensors: dict[str, Tensor]) -> _Fit:
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
    return _Fit(name, num_classes, state, tuple(notes), differences)


def _renamed(name: str, head: str, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under our names of the last layer, and of everything where timm names it without our prefix."""
    notes = []
    if name.startswith(TIMM) and not any(key.startswith("network.") for key in tensors):
        tensors = {f"network.{key}": value for key, value in tensors.items()}
    if f"{head}.weight" not in tensors:
        known = _template(name, 1).tensors
        other = next((at for at in HEADS if f"{at}.weight" in tensors and f"{at}.weight" not in known), None)
        if other is not None:
            ends = {f"{other}.{end}": f"{head}.{end}" for end in ("weight", "bias")}
            tensors = {ends.get(key, key): value for key, value in tensors.items()}
            notes.append(f"head '{other}' renamed '{head}'")
    return dict(tensors), notes


def _differences(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> Iterator[str]:
    """One phrase for every key that is missing or too many; where all are there, for every one of another shape or
    kind of numbers."""
    yield from (f"{key} is missing" for key in wanted if key not in state)
    yield from (f"{key} is unknown" for key in state if key not in wanted)
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


def _some(items: Any, between: str = ", ") -> str:
    """The first few, and how many more there are."""
    listed = [str(item) for item in items]
    more = f"{between}and {len(listed) - MOST_SHOWN} more" if len(listed) > MOST_SHOWN else ""
    return between.join(listed[:MOST_SHOWN]) + more
