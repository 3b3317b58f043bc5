"""Files that somebody made to harm whoever reads them: each is refused with a message, and soon."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.teacher.test_pretrained import written
from trainers.errors import CheckpointError
from trainers.models import Network
from trainers.storage.content import tensors_key
from trainers.teacher import prefixes, recognition
from trainers.teacher.pickles import DEEPEST, PICKLES, without_attributes
from trainers.teacher.pretrained import read

PROTOCOL, STOP = b"\x80\x02", b"."


def text(value: str) -> bytes:
    """The opcode that pushes a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, name: str) -> bytes:
    """The opcode that pushes a global."""
    return f"c{module}\n{name}\n".encode()


def shadowing(method: str, by: bytes) -> bytes:
    """An `OrderedDict` with an attribute in the place of a method."""
    return named("collections", "OrderedDict") + b")R}" + text(method) + by + b"sb"


def archive(path: Path, content: bytes) -> Path:
    """A file as `torch.save` writes it, with a pickle of our own."""
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for part in old.infolist():
            ours = part.filename.endswith("data.pkl")
            new.writestr(part.filename, PROTOCOL + content + STOP if ours else old.read(part.filename))
    return path


def before_torch_1_6(path: Path, content: bytes) -> Path:
    """The form without an archive."""
    buffer = io.BytesIO()
    torch.save(3, buffer, _use_new_zipfile_serialization=False)
    head = buffer.getvalue().split(STOP + PROTOCOL)[: PICKLES - 2]
    path.write_bytes((STOP + PROTOCOL).join([*head, content + STOP]))
    return path


@pytest.mark.parametrize("by", [named("torch._utils", "_rebuild_parameter"), named("numpy", "dtype"), b"K\x01"])
@pytest.mark.parametrize("method", ["items", "values", "keys", "get", "__len__"])
@pytest.mark.parametrize("nested", [True, False], ids=["nested", "whole"])
def test_a_mapping_s_methods_are_its_class_s(tmp_path: Path, method: str, by: bytes, nested: bool) -> None:
    crafted = shadowing(method, by)
    path = archive(tmp_path / "a.pth", b"}" + text("x") + crafted + b"s" if nested else crafted)
    with pytest.raises(CheckpointError, match="expected a state dict, or one under"):
        read(path)


def test_no_tensor_keeps_attributes_of_its_own(network: Network) -> None:
    weight = torch.zeros(2)
    weight.numel = weight.untyped_storage = lambda: 0  # type: ignore[method-assign]  # as a pickle's state may set them
    content = without_attributes({"a": [(weight,)]})
    assert content["a"][0][0].numel() == 2
    assert not vars(weight)


@pytest.mark.parametrize("form", [archive, before_torch_1_6])
@pytest.mark.parametrize("depth", [DEEPEST + 1, 3000, 200_000])
def test_tuples_deep_in_each_other_are_refused_before_they_are_built(tmp_path: Path, form: Any, depth: int) -> None:
    key = b")" + b"\x85" * depth
    with pytest.raises(CheckpointError, match=f"it nests tuples more than {DEEPEST} deep"):
        read(form(tmp_path / "a.pth", b"}" + key + b"K\x01s"))
    by_memo = b")q\x00" + b"(h\x00tq\x00" * depth
    with pytest.raises(CheckpointError, match=f"it nests tuples more than {DEEPEST} deep"):
        read(form(tmp_path / "b.pth", b"}" + by_memo + b"K\x01s"))


def test_tuples_as_scripts_have_them_are_read(tmp_path: Path, network: Network) -> None:
    deep: Any = ()
    for _ in range(20):
        deep = (deep, 1, 2)
    found = read(written(tmp_path, {"model": network.state_dict(), deep: 3, "huge": 10**400, "best_acc": 10**400}))
    assert found.hash == tensors_key(network.state_dict())
    with pytest.raises(CheckpointError, match="holds a dict with the keys tuple, 3; expected a state dict"):
        read(written(tmp_path, {deep: 3, 3: 4}))


def test_names_that_no_weight_has_are_not_taken_apart(tmp_path: Path) -> None:
    content = {f"{number}{'.' * 20_000}weight": torch.zeros(1) for number in range(20)}
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read(written(tmp_path, content))


def test_what_is_tried_of_a_file_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    fitting = recognition._fitting
    monkeypatch.setattr(recognition, "_fitting", lambda *given: tried.append(1) or fitting(*given))
    monkeypatch.setattr(prefixes.Ration, "__init__", lambda self: vars(self).update(ways=10, keys=1000))
    with pytest.raises(CheckpointError, match="fits no architecture"):
        read(written(tmp_path, {f"net{number}": {"a.weight": torch.zeros(1)} for number in range(900)}))
    assert len(tried) == 10


def test_a_fault_in_reading_is_the_file_s(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("trainers.teacher.pretrained.stated_accuracy", fails)
    with pytest.raises(CheckpointError, match=r"ckpt.pth cannot be read as weights: RecursionError: too deep"):
        read(written(tmp_path, network.state_dict()))
