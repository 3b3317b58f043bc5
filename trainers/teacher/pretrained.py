"""Checkpoints that others have published, read as data: whose weights they are, and under which of our names.

What is read: a state dict, bare or under a name at any depth, beside whatever a training script put there
(:mod:`trainers.teacher.contents`); behind the prefixes of what wraps networks, and beside a criterion's keys or a
teacher's (:mod:`trainers.teacher.prefixes`); our own ``weights.pt``; a `.safetensors` file. The architecture is the one
whose keys and shapes are those of the file (:mod:`trainers.teacher.recognition`).

A file is never trusted: see :mod:`trainers.teacher.weight_file`.

Sources: github.com/HobbitLong/RepDistiller, github.com/megvii-research/mdistiller, github.com/penghui-yang/DHKD,
github.com/akamaster/pytorch_resnet_cifar10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import SerializerFunctionWrapHandler, ValidationError, model_serializer
from torch import Tensor

from trainers.config import Frozen, Normalisation
from trainers.data.base import ImageData
from trainers.errors import CheckpointError, KDError
from trainers.models import MODELS, Network, build
from trainers.storage.content import tensors_key
from trainers.storage.inputs import expanded
from trainers.teacher.contents import WRAPPERS, StateDict, shown, some, state_dicts
from trainers.teacher.normalisation import normalisation_of, renormalised, state_behind
from trainers.teacher.prefixes import Ration, readings
from trainers.teacher.recognition import NOT_THE_TEACHER, Fit, recognised
from trainers.teacher.stated import Stated, stated_accuracy
from trainers.teacher.weight_file import SAFETENSORS, read_content

OURS = "weights.pt of this project"
"""How the weights lie in a file that this project has written."""
EXPORTED = "an exported student of this project"
"""The same, of a `.safetensors` file."""
NORMALISATION = "normalisation"
"""Under which a stored teacher's `weights.pt` has its own."""
OUR_KEYS = frozenset({"architecture", "method", "teacher", "classes", NORMALISATION, "state_dict"})
"""All that such a file holds."""


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
    stated: Stated | None = None
    """The accuracy that the file itself states; left out of a passport where it states none."""

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        if self.stated is None:
            del dumped["stated"]
        return dumped


@dataclass(frozen=True)
class Pretrained:
    """Weights that fit one of our architectures."""

    architecture: str
    num_classes: int
    state_dict: dict[str, Tensor]
    """As our definition names, orders and types them."""
    origin: Imported
    normalisation: Normalisation | None = None
    """What they were trained with, where that is not the data set's."""

    @cached_property
    def hash(self) -> str:
        """Content hash of the weights, and of their own normalisation, which names the teacher in a store."""
        return tensors_key(state_behind(self.state_dict, self.normalisation))

    def on(self, data: ImageData) -> Pretrained:
        """The same for a data set: what is normalised as that is needs no normalisation of its own."""
        own = self.normalisation
        same = own is not None and (own.mean, own.std) == (tuple(data.mean), tuple(data.std))
        return replace(self, normalisation=None) if same else self

    def network(self) -> Network:
        """The network in evaluation mode, on the CPU, without its own normalisation; torch's generators stay as they
        are."""
        with torch.random.fork_rng(devices=[]):
            network = build(self.architecture, num_classes=self.num_classes)
        network.load_state_dict(self.state_dict)
        return network.eval()

    def teacher(self, data: ImageData) -> Network:
        """The network for a data set's images, behind its own normalisation where it has one."""
        return renormalised(self.network(), self.normalisation, normalisation_of(data))


def read(path: Path, architecture: str | None = None, normalisation: Normalisation | None = None) -> Pretrained:
    """Read a published checkpoint; no code in it is run.

    Args:
        path: the file; a leading ``~`` is the home folder.
        architecture: one of our names; by default it is recognised.
        normalisation: mean and standard deviation that the weights were trained with, where these are not the data
            set's.

    Raises:
        InputError: when there is no such file, no such architecture, or several fit and the path names none of them.
        CheckpointError: when the file is no checkpoint, needs code to be read, holds tensors that are no weights, or
            fits no architecture.
    """
    if architecture is not None:
        MODELS[architecture]  # an unknown name is refused before the file is read
    content, sha256 = read_content(path)
    try:
        return _pretrained(content, sha256, path, architecture, normalisation)
    except KDError:
        raise
    except Exception as error:  # what a stranger has put together must not end an import of many files
        raise CheckpointError(f"{path} cannot be read as weights: {type(error).__name__}: {error}") from error


def _pretrained(
    content: Any, sha256: str, path: Path, architecture: str | None, normalisation: Normalisation | None
) -> Pretrained:
    form, notes, fit = _ours(content, path, architecture) or _theirs(content, path, architecture)
    for key, value in fit.state.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {key} holds NaN or infinite values")
    origin = Imported(
        file="/".join(expanded(path).absolute().parts[-2:]),
        sha256=sha256,
        form=form,
        notes=(*notes, *fit.notes),
        stated=stated_accuracy(content, path),
    )
    own = normalisation or (_own_normalisation(content, path) if form == OURS else None)
    return Pretrained(fit.architecture, fit.num_classes, fit.state, origin, own)


class _Read(NamedTuple):
    """The weights in a file."""

    form: str
    notes: tuple[str, ...]
    fit: Fit


def _ours(content: Any, path: Path, architecture: str | None) -> _Read | None:
    """What a `weights.pt` of this project holds, or a student that it has exported; None for any other file."""
    if not isinstance(content, dict) or not {"architecture", "state_dict"} <= content.keys() <= OUR_KEYS:
        return None
    named, tensors = content["architecture"], content["state_dict"]
    if not isinstance(named, str) or not _all_tensors(tensors):
        return None
    _refuse_more_than_a_student(content, shown(named), path)
    if named not in MODELS:
        return None
    return _Read(
        EXPORTED if path.suffix.lower() == SAFETENSORS else OURS,
        (),
        recognised(readings(tensors), path, architecture or named),
    )


def _own_normalisation(content: Mapping[str, Any], path: Path) -> Normalisation | None:
    """What a stored teacher's `weights.pt` says of it."""
    if content.get(NORMALISATION) is None:
        return None
    try:
        return Normalisation.model_validate(content[NORMALISATION])
    except ValidationError as error:
        raise CheckpointError(f"{path}: its normalisation cannot be read: {error.errors()[0]['msg']}") from error


def _theirs(content: Any, path: Path, architecture: str | None) -> _Read:
    """The weights of the first state dict that fits; of several the averaged ones come first.

    Raises CheckpointError with what is wrong with the first where none fits.
    """
    found = state_dicts(content)
    if not found:
        keys = f" with the keys {some(list(content))}" if isinstance(content, dict) else ""
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}{keys}; expected a state dict, or one under {some(WRAPPERS)}"
        )
    wrong: list[CheckpointError] = []
    ration = Ration()
    taught = [state for state in found if not state.of_a_teacher] or found
    for state in taught:
        if ration.spent:
            break
        try:
            fit = recognised(readings(state.tensors, ration), path, architecture)
        except CheckpointError as error:
            wrong.append(error)
            continue
        return _Read(state.form, (*state.notes, *_beside(state, found)), fit)
    raise CheckpointError(f"{wrong[0]}{NOT_THE_TEACHER}") if len(taught) < len(found) else wrong[0]


def _beside(taken: StateDict, found: list[StateDict]) -> list[str]:
    """What is worth saying of the other state dicts in a file."""
    others = [other for other in found if other is not taken]
    where = some(f"'{other.where}'" for other in others)
    if not others:
        return []
    if taken.averaged:
        return [f"the averaged weights taken, not those under {where}"]
    if others[0].averaged and not others[0].of_a_teacher:
        return [f"not taken: the weights under {where}, of which the averaged fit no architecture"]
    return [f"not taken: the weights under {where}"]


def _refuse_more_than_a_student(content: Mapping[str, Any], named: str, path: Path) -> None:
    """What a method predicts with, such as both of DHO's heads, would be cut down to a student that it never was."""
    if any(key.startswith("student.") for key in content["state_dict"]):
        method = content.get("method")
        name = shown(str(method.get("name"))) if isinstance(method, Mapping) else None
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
