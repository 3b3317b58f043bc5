"""A trained student in Python's hands: one that can be exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import fx

from sweep.students.student import Student as Network
from trainers.errors import InputError

if TYPE_CHECKING:
    from sweep.students.about import About
    from sweep.students.checking import Check


class Student(Network):
    """A network of images as they come, which knows whose it is: what :meth:`~sweep.python.results.Results.student`
    gives."""

    about: About | None = None
    """What the sweep knows of it; None of one that is of no sweep."""

    @classmethod
    def of(cls, student: Network, about: About) -> Student:
        """A sweep's student, in the mode that it is in."""
        made = cls(student.network, about.images)
        made.about = about
        made.training = student.training
        return made

    def export(self, format: str, out: str | Path | None = None, *, pixels: str = "float") -> Check:
        """Write it for production, as the command does (docs/students.md).

        Args:
            format: ``safetensors``, ``onnx`` or ``torch-export``.
            out: the folder; by default one in this folder, named after the student.
            pixels: what a graph reads: ``float``, in [0, 1], or ``uint8``.

        Returns:
            How the file's logits compare with the student's.

        Raises:
            InputError: for a student of no sweep, one in training mode or on another device than the CPU, another
                format, a package that is missing, a network that has no such graph, and a folder that holds something
                else.
            CheckpointError: where the file does not give the student's logits; it is not there then.
            StorageError: when nothing can be written.
        """
        from sweep.students.exporting import export

        if self.about is None:
            raise InputError("this student is of no sweep, so there is nothing to say of it: sweep.open(…).student(…)")
        if self._trains or self.mean.device.type != "cpu":
            raise InputError("a student is exported in evaluation mode and on the CPU: student.eval().cpu()")
        folder = None if out is None else Path(out).expanduser()
        return export(self, self.about, format, folder, pixels=pixels).check

    @property
    def _trains(self) -> bool:
        """Whether any layer is in training mode; a graph is one of evaluation mode, whatever its parts say."""
        if isinstance(self.network, fx.GraphModule):
            return False
        return any(module.training for module in self.modules())
