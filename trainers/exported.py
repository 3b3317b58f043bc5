"""A finished trial's weight file, as the network that it holds, and as a file for others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from trainers.distillers.dho import two_heads
from trainers.distillers.simkd import reused_classifier
from trainers.errors import CheckpointError, InputError
from trainers.models import Network, build
from trainers.storage import safetensors
from trainers.storage.checkpoint import from_bytes

TENSORS = "state_dict"
"""What a file holds besides what it says of itself."""
PORTABLE = ".safetensors"
"""Suffix of a weight file that was brought from elsewhere (:func:`portable`), in the place of ``weights.pt``."""


def read_network(path: Path, num_classes: int, image_size: tuple[int, int]) -> Network:
    """The network that :func:`trainers.fit.fit` has written to `path`, in evaluation mode, on the CPU.

    The file is read as data; where there is none, the one with the suffix :data:`PORTABLE` is. SimKD's student is put
    together with its projector and the teacher's classifier, DHO's with its second head.

    Args:
        path: ``weights.pt`` of a trial.
        num_classes: that the network tells apart.
        image_size: height and width of the images that it was trained on, in pixels.

    Raises:
        CheckpointError: when the file is missing, damaged or not what it says it is.
    """
    return _built(_content(path), num_classes, image_size, path)


def read_portable(path: Path) -> tuple[Network, dict[str, Any]]:
    """The network in a file of :func:`portable` that says what its images are, in evaluation mode, on the CPU.

    Args:
        path: the file, of any name; it says under ``preprocessing`` how many `classes` there are and which `size` the
            images have.

    Returns:
        The network, and all that the file says of itself, by name.

    Raises:
        CheckpointError: when the file is missing, damaged, or does not say it.
    """
    content = _portable_content(_bytes(path), path)
    try:
        images = content["preprocessing"]
        height, width = map(int, images["size"])
        num_classes = int(images["classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"weights {path} do not say what their images are; no student was exported so") from error
    network = _built(content, num_classes, (height, width), path)
    return network, {name: value for name, value in content.items() if name != TENSORS}


def told(path: Path) -> dict[str, Any]:
    """What the weight file in the place of `path` says of itself: `architecture`, `method`, `teacher` and, unless an
    earlier release has written it, the names of its `classes`. Raises CheckpointError as :func:`read_network`."""
    return {name: value for name, value in _content(path).items() if name != TENSORS}


def _built(content: Mapping[str, Any], num_classes: int, image_size: tuple[int, int], path: Path) -> Network:
    """The network that a file holds. Raises CheckpointError, naming it, where it is none."""
    try:
        network = build(content["architecture"], num_classes=num_classes)
        network = _predicting(network, content, num_classes, image_size)
        network.load_state_dict(content[TENSORS])
    except (InputError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"weights {path} are not what they say they are: {reason}") from error
    return network.eval()


def _predicting(student: Network, content: Mapping[str, Any], num_classes: int, image_size: tuple[int, int]) -> Network:
    """`student`, with what its method predicts through besides."""
    method, params = content["method"]["name"], content["method"]["params"]
    if method == "simkd":
        teacher = build(content["teacher"], num_classes=num_classes)
        return reused_classifier(student, teacher, image_size, factor=params["factor"])
    if method == "dho":
        return two_heads(student, num_classes, alpha=params["alpha"], beta=params["beta"])
    return student


def portable(path: Path, told: Mapping[str, Any]) -> bytes:
    """A weight file in the safetensors format, with what it says of itself as JSON texts in its metadata.

    Args:
        path: ``weights.pt`` of a trial, or the file in its place.
        told: what else the metadata should say, by name, each a value that JSON can hold.

    Raises:
        CheckpointError: when the file is missing, damaged or not what it says it is.
    """
    content = _content(path)
    tensors = content.pop(TENSORS, None)
    if not isinstance(tensors, dict):
        raise CheckpointError(f"weights {path} are not what they say they are: no tensors")
    texts = {name: json.dumps(value, ensure_ascii=False, sort_keys=True) for name, value in {**content, **told}.items()}
    return safetensors.to_bytes(tensors, texts)


def _content(path: Path) -> dict[str, Any]:
    """Tensors under :data:`TENSORS`, and what the file says of them. Raises CheckpointError as :func:`read_network`."""
    brought = path.with_suffix(PORTABLE)
    there = path if path.exists() or not brought.exists() else brought
    return from_bytes(_bytes(there), f"weights {there}") if there is path else _portable_content(_bytes(there), there)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"weights {path} cannot be read: {error.strerror}") from error


def _portable_content(content: bytes, path: Path) -> dict[str, Any]:
    tensors, texts = safetensors.from_bytes(content, f"weights {path}")
    try:
        return {name: json.loads(text) for name, text in texts.items()} | {TENSORS: tensors}
    except ValueError as error:
        raise CheckpointError(f"weights {path} are not what they say they are: {error}") from error


def hides_layers(network: nn.Module) -> bool:
    """Whether a layer is not what its name gives: MobileNetV2's published keys have `classifier.0`, and its classifier
    is that layer. `torch.export` finds such a layer only where it reads the code itself (`strict`), which takes longer.
    """
    pairs = ((module, *named) for module in network.modules() for named in module._modules.items())
    return any(getattr(module, name, None) is not layer for module, name, layer in pairs)
