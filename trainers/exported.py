"""A finished trial's weight file, as the network that it holds, and as a file for others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.distillers.dho import two_heads
from trainers.distillers.simkd import reused_classifier
from trainers.errors import CheckpointError, InputError
from trainers.models import Network, build
from trainers.storage import safetensors
from trainers.storage.checkpoint import from_bytes

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
    content = _content(path)
    try:
        network = build(content["architecture"], num_classes=num_classes)
        network = _predicting(network, content, num_classes, image_size)
        network.load_state_dict(content["state_dict"])
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
    tensors = content.pop("state_dict", None)
    if not isinstance(tensors, dict):
        raise CheckpointError(f"weights {path} are not what they say they are: no tensors")
    texts = {name: json.dumps(value, ensure_ascii=False, sort_keys=True) for name, value in {**content, **told}.items()}
    return safetensors.to_bytes(tensors, texts)


def _content(path: Path) -> dict[str, Any]:
    """Tensors under `state_dict`, and what the file says of them. Raises CheckpointError as :func:`read_network`."""
    brought = path.with_suffix(PORTABLE)
    there = path if path.exists() or not brought.exists() else brought
    what = f"weights {there}"
    try:
        content = there.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{what} cannot be read: {error.strerror}") from error
    if there is path:
        return from_bytes(content, what)
    tensors, texts = safetensors.from_bytes(content, what)
    try:
        return {name: json.loads(text) for name, text in texts.items()} | {"state_dict": tensors}
    except ValueError as error:
        raise CheckpointError(f"{what} are not what they say they are: {error}") from error
