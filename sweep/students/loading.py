"""A student's ``model.safetensors``, read back: three lines in whichever program has this package."""

from __future__ import annotations

from pathlib import Path

from sweep.students.student import Student
from trainers.code import load_installed
from trainers.exported import read_portable


def load_student(path: str | Path) -> Student:
    """A student that was exported as safetensors, or that a pack holds, in evaluation mode, on the CPU.

    It is built afresh by its architecture's name; the file holds tensors and texts. A network of a user's own needs the
    module that registers it to be imported before.

    Args:
        path: the file.

    Raises:
        CheckpointError: when it is missing, damaged, no student's, or of an architecture that is not known here.
    """
    load_installed()
    network, said = read_portable(Path(path))
    return Student(network, said["preprocessing"]).eval()
