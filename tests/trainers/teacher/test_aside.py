"""Plain data beside weights are read around, and nothing of theirs is made or run."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import fractions
import pathlib
import sys
import types
import uuid
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainers.storage.test_checkpoint import Touch
from tests.trainers.teacher.test_pretrained import written
from trainers.errors import CheckpointError
from trainers.models import Network
from trainers.storage.content import tensors_key
from trainers.teacher import aside
from trainers.teacher.aside import LET_THROUGH, Aside, NumberType, number
from trainers.teacher.pretrained import read

HARMLESS: dict[str, Any] = {
    "a path": pathlib.Path("/data/cifar"),
    "a path of Windows": pathlib.PureWindowsPath("C:\\data"),
    "a pure path": pathlib.PurePosixPath("a/b"),
    "an array": np.arange(6.0).reshape(2, 3),
    "an array of words": np.array(["cat", "dog"]),
    "an array of objects": np.array([None, "x"], dtype=object),
    "a state of random numbers": np.random.RandomState(0).get_state(),
    "a scalar": np.float32(2.5),
    "a half": np.float16(0.5),
    "a flag": np.bool_(True),
    "a word of NumPy": np.str_("cat"),
    "a day of NumPy": np.datetime64("2024-01-01"),
    "a type": np.dtype("float32"),
    "a moment": datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.UTC),
    "a day": datetime.date(2024, 1, 2),
    "a time": datetime.time(3, 4),
    "a span": datetime.timedelta(hours=3),
    "a defaultdict": collections.defaultdict(list, {"loss": [1.0, 0.5]}),
    "a defaultdict of numbers": collections.defaultdict(float, acc=0.5),
    "a defaultdict in a defaultdict": collections.defaultdict(dict, a=collections.defaultdict(int)),
    "a counter": collections.Counter([150, 180, 210]),
    "a deque": collections.deque([1.0, 2.0], maxlen=20),
    "a set": {1, 2},
    "a frozen set": frozenset({1}),
    "a range": range(3),
    "a slice": slice(1, 2),
    "bytes": b"abc",
    "a complex number": 1 + 2j,
    "a decimal": decimal.Decimal("1.5"),
    "a fraction": fractions.Fraction(1, 3),
    "a uuid": uuid.UUID(int=1),
    "a namespace": argparse.Namespace(data=pathlib.Path("x"), mean=np.zeros(3), steps=collections.defaultdict(int)),
    "a simple namespace": types.SimpleNamespace(lr=0.1),
    "a device": torch.device("cpu"),
    "a size": torch.Size([1, 2]),
    "a dtype": torch.float16,
    "a class": float,
    "a state of torch's generator": torch.get_rng_state(),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("what", HARMLESS)
def test_plain_data_beside_weights_are_read_around(tmp_path: Path, network: Network, what: str, zipped: bool) -> None:
    content = {"extra": HARMLESS[what], "list": [HARMLESS[what]], "model": network.state_dict()}
    path = written(tmp_path, content, _use_new_zipfile_serialization=zipped)
    found = read(path)
    assert (found.hash, found.origin.notes) == (tensors_key(network.state_dict()), ())


def as_written_by(name: str, base: type, monkeypatch: pytest.MonkeyPatch) -> type:
    """A class that pickles have under a name of a package that is not here."""
    module, _, own = name.rpartition(".")
    made = type(own, (base,), {"__module__": module})
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
    setattr(sys.modules[module], own, made)
    return made


@pytest.mark.parametrize(
    ("name", "base"),
    [
        *((name, dict) for name in aside.MAPPINGS if not name.startswith("collections.")),
        *((name, object) for name in aside.VALUES if name.startswith(("omegaconf.", "ml_collections.", "mmengine."))),
    ],
)
def test_configurations_of_packages_that_are_not_here_are_read_around(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch, name: str, base: type
) -> None:
    config = as_written_by(name, base, monkeypatch)()
    if base is dict:
        config["lr"] = 0.1
    config.inner = {"data": pathlib.Path("x")}
    path = written(tmp_path, {"hyper_parameters": config, "state_dict": network.state_dict()})
    monkeypatch.undo()
    assert read(path).hash == tensors_key(network.state_dict())


def test_nothing_is_made_of_what_is_read_around(tmp_path: Path) -> None:
    content = {name: value for name, value in HARMLESS.items() if name in ("a path", "an array", "a moment", "a uuid")}
    path = written(tmp_path, content)
    with torch.serialization.safe_globals(LET_THROUGH):
        found = torch.load(path, weights_only=True)
    assert {type(value) for value in found.values()} == {Aside}
    assert all(not vars(value) for value in found.values())


def test_numbers_of_numpy_are_read_whatever_their_kind_and_order(tmp_path: Path) -> None:
    kinds = ("i1", "u1", "i8", "u4", "f2", "f4", "f8", ">f8", ">i4", "?")
    content = {kind: np.array([1], dtype=kind)[0] for kind in kinds} | {"acc": np.float64(72.34)}
    with torch.serialization.safe_globals(LET_THROUGH):
        found = torch.load(written(tmp_path, content), weights_only=True)
    assert found == dict.fromkeys(kinds, 1) | {"acc": 72.34}
    assert all(type(value) in (int, float, bool) for value in found.values())


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (NumberType("O8"), b"\x00" * 8),  # would be taken for a pointer
        (NumberType("V8"), b"\x00" * 8),
        (NumberType("f8"), b"\x00" * 7),
        (NumberType("f8"), [1.0]),
        (NumberType(object()), b"\x00" * 8),
        (NumberType("f99999999999"), b"\x00" * 8),
        ("f8", b"\x00" * 8),
        (None, b""),
    ],
)
def test_what_is_no_number_of_numpy_s_is_nothing(kind: Any, content: Any) -> None:
    assert isinstance(number(kind, content), Aside)


def test_a_type_s_state_is_not_believed() -> None:
    kind = NumberType("f8", False, True)
    kind.__setstate__((3, "O", None, None, None, -1, -1, 0))
    assert number(kind, np.float64(0.5).tobytes()) == 0.5
    kind.__setstate__((3, ">", None, None, None, -1, -1, 0))
    assert number(kind, np.array(0.5, ">f8").tobytes()) == 0.5


@pytest.mark.parametrize("around", [collections.defaultdict, OrderedDict, dict])
def test_weights_in_a_mapping_of_another_kind_are_read(tmp_path: Path, network: Network, around: Any) -> None:
    state = collections.defaultdict(float) if around is collections.defaultdict else around()
    state.update(network.state_dict())
    assert read(written(tmp_path, {"state_dict": state})).hash == tensors_key(network.state_dict())


class Own:
    """A class of somebody's."""


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param(lambda marker: Touch(marker), id="code"),
        pytest.param(lambda marker: collections.defaultdict(list, a=Touch(marker)), id="in a defaultdict"),
        pytest.param(lambda marker: np.array([Touch(marker)], dtype=object), id="in an array of objects"),
        pytest.param(lambda marker: collections.deque([Touch(marker)]), id="in a deque"),
        pytest.param(lambda marker: Own(), id="a class"),
        pytest.param(lambda marker: print, id="a function"),
        pytest.param(lambda marker: collections.defaultdict(eval), id="a factory"),
    ],
)
def test_what_is_no_plain_data_is_refused_and_not_run(tmp_path: Path, network: Network, beside: Any) -> None:
    marker = tmp_path / "executed"
    with warnings.catch_warnings(action="ignore"):
        path = written(tmp_path, {"model": network.state_dict(), "beside": beside(marker)})
    with pytest.raises(CheckpointError, match=r"holds Python objects \(.*\) beside its tensors"):
        read(path)
    assert not marker.exists()


def test_another_protocol_of_pickle_is_named(tmp_path: Path, network: Network) -> None:
    path = written(tmp_path, network.state_dict(), pickle_protocol=4)
    with pytest.raises(CheckpointError, match=r"no file of torch\.save's, or of another pickle protocol"):
        read(path)
