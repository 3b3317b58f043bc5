"""A trained student with what its images go through first: read from its weights, or off an MLflow server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sweep.plan.code import at_hand
from trainers.errors import CheckpointError, InputError
from trainers.exported import PORTABLE, read_network

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sweep.layout import SweepPaths
    from sweep.plan.slots import Plan
    from sweep.results.read import Trial

BRIGHTEST = 255
"""Of a pixel that is a whole number."""
OVERSHOOT = 2.0
"""Pixels above this are none that are scaled to [0, 1], whatever has resized them."""


class Student(nn.Module):
    """A network of images as they come: it scales and normalises them as they were in training.

    Args:
        network: of float32 ``[B, 3, H, W]``, normalised.
        images: a plan's: `size`, `mean` and `std`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, images: dict[str, object]) -> None:
        super().__init__()
        self.network = network
        self.size: tuple[int, int] = tuple(images["size"])  # type: ignore[arg-type, assignment]
        """Height and width in pixels of the images that it was trained on."""
        self.register_buffer("mean", torch.tensor(images["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(images["std"]).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images.

        Args:
            images: ``[B, 3, H, W]`` or one of them, ``[3, H, W]``: uint8, or floats in [0, 1]; not normalised.

        Returns:
            float32 ``[B, C]``, of one image ``[C]``.

        Raises:
            InputError: for what is no tensor, images of another shape, and floats that are not in [0, 1].
        """
        if not isinstance(images, Tensor):
            raise InputError(
                f"the student reads a tensor of images [B, 3, {self.size[0]}, {self.size[1]}], found"
                f" {type(images).__name__}; torch.as_tensor makes one"
            )
        if images.dim() == 3:
            return self(images[None])[0]  # type: ignore[no-any-return]
        if images.dim() != 4 or images.shape[1] != 3 or tuple(images.shape[2:]) != self.size:
            height, width = self.size
            raise InputError(f"the student reads images [B, 3, {height}, {width}], found {list(images.shape)}")
        pixels = images.to(self.mean.dtype)
        if not images.is_floating_point():
            pixels = pixels / BRIGHTEST
        elif len(images) and images.max() > OVERSHOOT:
            raise InputError(
                f"the student reads uint8, or floats in [0, 1], found floats up to {images.max():g}; divide by 255"
            )
        return self.network((pixels - self.mean) / self.std)  # type: ignore[no-any-return]


def read_student(paths: SweepPaths, plan: Plan, trial: Trial, trials: Iterable[Trial]) -> Student:
    """A finished trial's student, in evaluation mode, on the CPU.

    Args:
        paths: of the sweep.
        plan: its latest.
        trial: whose student it is.
        trials: all of the sweep; where the weights are not there, the message says of which they are.

    Raises:
        InputError: of a ledger from before plans told what networks read, and where the sweep's own code, which its
            networks may need, cannot be loaded.
        CheckpointError: when its weights are missing, damaged or not what they say they are.
        StorageError: when they cannot be fetched.
    """
    if not plan.images:
        raise InputError(
            f"sweep '{plan.name}' was planned by an earlier release; run it once more, which trains nothing"
        )
    at_hand(plan.code, paths.root)
    weights = weights_of(paths, trial)
    paths.storage.pull(weights)
    if not _is_there(weights):
        others = [other for other in trials if other.slot.pair == trial.slot.pair and other.slot.method != "teacher"]
        names = [other.slot.name for other in others if _is_there(weights_of(paths, other))]
        has = f"there are those of {', '.join(names)}" if names else "there are none of its pair"
        raise CheckpointError(f"the weights of {trial.slot.name} are not there, {weights}; {has}")
    height, width = plan.images["size"]
    network = read_network(weights, plan.images["classes"], (height, width))
    return Student(network, plan.images).eval()


def weights_of(paths: SweepPaths, trial: Trial) -> Path:
    """Where a trial's weights lie, or those in their place (:func:`trainers.exported.told`)."""
    return paths.trial(trial.key or "") / "weights.pt"


def _is_there(weights: Path) -> bool:
    """As a sweep writes them, or as a pack brings them."""
    return weights.exists() or weights.with_suffix(PORTABLE).exists()


def fetch_student(name: str, uri: str, trial: Trial) -> Student:
    """A finished trial's student as an MLflow server has it, in evaluation mode, on the CPU.

    Raises:
        InputError, CheckpointError, StorageError: as :func:`sweep.tracking.fetched.fetch`.
    """
    from sweep.tracking.fetched import fetch

    network, images = fetch(name, uri, trial)
    network.train = partial(_stay, network)  # type: ignore[method-assign]
    return Student(network, images).eval()


@torch.no_grad()
def images_of(student: Student) -> dict[str, Any]:
    """What a student reads, as a plan has it: `size`, `classes`, `mean` and `std`; it is asked for its logits once."""
    height, width = student.size
    logits = student(torch.zeros(1, 3, height, width, dtype=torch.uint8))
    colours = {"mean": student.mean.flatten().tolist(), "std": student.std.flatten().tolist()}
    return {"size": [height, width], "classes": logits.shape[1]} | colours


def _stay(network: nn.Module, mode: bool = True) -> nn.Module:
    """What becomes of a graph whose mode is set; torch's own refuses evaluation too."""
    if mode:
        raise InputError(
            "this network is the graph of its pass in evaluation mode, as MLflow has it; to train it on, open the sweep"
            " where it ran: sweep.open(name, root=…)"
        )
    return network
