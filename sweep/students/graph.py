"""A student as one graph, from pixels to logits: the module that is exported, and its trace by `torch.export`.

Shapes: `B` images, any number of them; `C` classes; `H`, `W` pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from sweep.students.student import BRIGHTEST, Student
from sweep.text import first_line
from trainers.errors import InputError
from trainers.exported import hides_layers

Pixels = Literal["float", "uint8"]
"""What a graph reads: float32 in [0, 1], as torchvision's `ToTensor` gives them, or bytes as a decoder gives them."""
PIXELS: tuple[Pixels, ...] = get_args(Pixels)
TYPES: dict[Pixels, torch.dtype] = {"float": torch.float32, "uint8": torch.uint8}
IMAGES, LOGITS, BATCH = "images", "logits", "batch"
"""Names of a graph's input and output, and of the input's first axis."""
EXAMPLES = 2
"""A batch of one would fix the number of images."""


class Graph(nn.Module):
    """What is exported: ``[B, 3, H, W]``, not normalised, to float32 ``[B, C]``.

    It computes what a :class:`~sweep.students.student.Student` does, without its questions, which a graph does not
    keep. It keeps an assertion of its pixels' type: bytes that are taken for floats would give logits too, wrong ones.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, student: Student, pixels: Pixels) -> None:
        super().__init__()
        self.network, self.pixels = student.network, pixels
        self.register_buffer("mean", student.mean)
        self.register_buffer("std", student.std)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images, of which :attr:`pixels` says what they hold."""
        torch.ops.aten._assert_tensor_metadata.default(images, None, None, TYPES[self.pixels])
        scaled = images.to(torch.float32) / BRIGHTEST if self.pixels == "uint8" else images
        return self.network((scaled - self.mean) / self.std)  # type: ignore[no-any-return]


def as_read(images: Tensor, pixels: Pixels) -> Tensor:
    """Images uint8 ``[B, 3, H, W]`` as a graph reads them."""
    return images if pixels == "uint8" else images.to(torch.float32) / BRIGHTEST


def traced(student: Student, pixels: Pixels, name: str) -> ExportedProgram:
    """The graph of a student, of any number of images.

    Args:
        student: on the CPU, in evaluation mode.
        pixels: what the graph is to read.
        name: of its network, for the message.

    Raises:
        InputError: where `torch.export` cannot follow the network, or finds that it takes one number of images alone.
    """
    height, width = student.size
    example = as_read(torch.zeros(EXAMPLES, 3, height, width, dtype=torch.uint8), pixels)
    graph, shapes = Graph(student, pixels).eval(), {IMAGES: {0: Dim(BATCH)}}
    try:
        with torch.no_grad(), quiet():
            return torch.export.export(graph, (example,), dynamic_shapes=shapes, strict=hides_layers(graph))
    except Exception as error:  # whatever torch.export, or the network itself, says of a graph
        raise InputError(
            f"{name} cannot be exported as a graph of any number of images: {first_line(error)}. Its forward must not"
            " fix their number (len(images); images.shape[0] does not) nor ask for values of theirs; --format"
            " safetensors needs no graph"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's and ONNX's log, which tells of a graph that fails in pages; the error says it in a line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
