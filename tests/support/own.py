"""Code as a user brings it: files in a folder, loaded into this process, and forgotten after the test."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from search_spaces.loader import load_spec
from search_spaces.schema import Spec
from tests.support.examples import SPEC
from trainers.code import Code, load, read, unload

MYKD = '''
from torch import Tensor
from torch.nn import functional as F
from trainers import method

@method("mykd")
def mykd(student, teacher, targets, *, beta: float = 2.0, temperature: float = 4.0) -> Tensor:
    """Squared differences of softened probabilities."""
    return beta * F.mse_loss(F.softmax(student / temperature, 1), F.softmax(teacher / temperature, 1))
'''
TINYNET = """
from torch import nn
from trainers import model

@model("tinynet")
class TinyNet(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(self.body(x))
"""
METHOD = "from trainers import method\n@method('{name}')\ndef {name}(student):\n    return student.mean()\n"
"""The shortest method that there is."""


class Folder:
    """A user's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **files: str) -> None:
        """Modules by their names; ``a__b`` is a module `b` in a package `a`, ``a__`` its ``__init__``."""
        for name, text in files.items():
            parts = [part or "__init__" for part in name.split("__", 1)]
            file = self.path.joinpath(*parts).with_suffix(".py")
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(text), encoding="utf-8")

    def read(self, *paths: str) -> Code:
        """The files under `code`; all that lie there, where none is named."""
        found = sorted(path.name for path in self.path.iterdir() if path.is_dir() or path.suffix == ".py")
        found = [name for name in found if name != "__pycache__"]
        return read(paths or found, self.path)

    def load(self, **files: str) -> Code:
        """Write, read and load."""
        self.write(**files)
        code = self.read()
        load(code)
        return code

    def spec(self, code: list[str], **changes: Any) -> Spec:
        """The small spec of the examples, with code, as a file in the folder."""
        file = self.path / "small.yaml"
        file.write_text(yaml.safe_dump(SPEC | {"code": code} | changes, sort_keys=False, allow_unicode=True))
        return load_spec(str(file))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """An empty one; what was loaded from it is forgotten."""
    place = tmp_path / "paper"
    place.mkdir()
    yield Folder(place)
    unload()
