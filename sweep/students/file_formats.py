"""The files that a student becomes: how each is written, and how it is read and run again for the check.

Shapes: `B` images, `C` classes, `H`, `W` pixels.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from sweep.students.about import About
from sweep.students.graph import BATCH, IMAGES, LOGITS, Pixels, quiet, traced
from sweep.students.loading import load_student
from sweep.students.student import Student
from sweep.text import first_line
from trainers.errors import InputError, unknown_name
from trainers.models import MODELS
from trainers.storage import safetensors
from trainers.storage.files import write_atomically

if TYPE_CHECKING:
    import numpy as np

Format = Literal["safetensors", "onnx", "torch-export"]
"""What a student can become."""
FORMATS: tuple[Format, ...] = get_args(Format)
OPSET = 18
"""Of ONNX: what torch's exporter itself writes. The file is of ONNX's IR version 10, which onnxruntime reads since its
release 1.18."""
NEEDS = ("onnx", "onnxscript", "onnxruntime")
"""Packages of the extra `onnx`."""
Run = Callable[[Tensor], Tensor]
"""A file that is read: images as it reads them, ``[B, 3, H, W]``, to logits ``[B, C]``."""


@dataclass(frozen=True)
class FileFormat:
    """One of :data:`FORMATS`."""

    file: str
    """Its name."""
    write: Callable[[Student, About, Pixels, Path], None]
    read: Callable[[Path], Run]
    """For the check: by the program that users read it with."""
    graph: bool = True
    """Whether it is a graph, which has pixels of one kind and needs no code of ours."""


def check_name(name: str) -> Format:
    """One of :data:`FORMATS`, with what it needs installed. Raises InputError otherwise."""
    if name not in FORMATS:
        raise InputError(unknown_name("format", name, FORMATS))
    missing = [package for package in NEEDS if importlib.util.find_spec(package) is None]
    if name == "onnx" and missing:
        raise InputError(
            f"--format onnx needs {', '.join(missing)}: uv sync --extra onnx, or pip install 'kd-sweep[onnx]'"
        )
    return name


# -- safetensors ------------------------------------------------------------------------------------------------------


def _write_safetensors(student: Student, about: About, pixels: Pixels, path: Path) -> None:
    """The weights, with all that is known of them as JSON texts in the metadata."""
    said = about.told | {"taught_by": about.teacher, "teacher": _architecture(about), "method": about.config["method"]}
    texts = {name: json.dumps(value, ensure_ascii=False, sort_keys=True) for name, value in said.items()}
    write_atomically(path, safetensors.to_bytes(student.network.state_dict(), texts))


def _architecture(about: About) -> str | None:
    """The teacher's, as :func:`trainers.exported.portable` has it: a student of SimKD has that one's classifier."""
    return str(about.teacher["architecture"]) if about.teacher else None


def _read_safetensors(path: Path) -> Run:
    return load_student(path)


# -- torch.export -----------------------------------------------------------------------------------------------------


def _write_graph(student: Student, about: About, pixels: Pixels, path: Path) -> None:
    program = traced(student, pixels, whose(about))
    torch.export.save(program, path, extra_files={"student.json": json.dumps(about.told, ensure_ascii=False)})


def _read_graph(path: Path) -> Run:
    return torch.export.load(path).module()


# -- ONNX -------------------------------------------------------------------------------------------------------------


def _write_onnx(student: Student, about: About, pixels: Pixels, path: Path) -> None:
    """The same graph, translated; a file of its own, without a second one for the weights."""
    import onnx

    program = traced(student, pixels, whose(about))
    try:
        with quiet():
            made = torch.onnx.export(
                program, input_names=[IMAGES], output_names=[LOGITS], opset_version=OPSET, dynamo=True, verbose=False
            )
        if made is None:
            raise RuntimeError("torch.onnx made no program")  # it does of its older exporter alone
        model = made.model_proto
    except Exception as error:  # whatever torch.onnx says of an operation that it does not know
        raise InputError(
            f"{whose(about)} cannot be exported as ONNX: {first_line(error)}; --format torch-export keeps its graph"
        ) from error
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = BATCH
    onnx.helper.set_model_props(
        model, {name: json.dumps(value, ensure_ascii=False) for name, value in about.told.items()}
    )
    onnx.checker.check_model(model)
    write_atomically(path, model.SerializeToString())


def _read_onnx(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: which of its kernels it takes is none
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        given: np.ndarray[Any, Any] = session.run([LOGITS], {IMAGES: images.numpy()})[0]
        return torch.from_numpy(given)

    return run


def whose(about: About) -> str:
    """A student's network, as a message names it."""
    module = MODELS.module(about.architecture)
    own = f", of {module}" if module else ""
    return f"the student of {about.name} ({about.architecture}{own})"


KINDS: dict[Format, FileFormat] = {
    "safetensors": FileFormat("model.safetensors", _write_safetensors, _read_safetensors, graph=False),
    "onnx": FileFormat("model.onnx", _write_onnx, _read_onnx),
    "torch-export": FileFormat("model.pt2", _write_graph, _read_graph),
}
