"""Files of measurements below the root that somebody has damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from search_spaces.loader import parse_spec
from sweep.cost import calibration
from sweep.cost.compiling import Remembered, known
from sweep.cost.measured import read
from sweep.layout import Root
from sweep.results.preview import look_ahead
from trainers.errors import InputError, StorageError

SPEC = """
name: measured
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 2, warmup_epochs: 0, samples_per_class: 8, test_per_class: 8, compile: auto}
pairs: [resnet8 -> resnet8]
methods: [scratch]
baseline: scratch
seeds: 1
"""
ENTRY = '{"key": {"decision": {"compile": false, "network": "resnet8", "epochs": 2, "plain": 0.1}, "measured_on": {}}}'


@dataclass(frozen=True)
class Seconds:
    seconds: float


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "seconds.json"
    assert read(file, Seconds) == {}
    file.write_text('{"resnet8": {"seconds": 1.5}, "resnet20": {"seconds": 3, "of a later release": 1}}')
    assert read(file, Seconds) == {"resnet8": Seconds(1.5), "resnet20": Seconds(3.0)}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"key": 1}', b'{"key": {"seconds": "few"}}', b"\xff"])
def test_a_damaged_file_is_named_and_what_to_do(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "seconds.json"
    file.write_bytes(content)
    with pytest.raises(
        InputError, match=r"seconds\.json is damaged \(.+\): mend it, or remove it, and what it holds is"
    ):
        read(file, Seconds)


def test_one_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "seconds.json").mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*seconds\.json: Is a directory"):
        read(tmp_path / "seconds.json", Seconds)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "runs").mkdir()
    return Root(tmp_path / "runs")


@pytest.mark.parametrize("file", ["compiling", "latency"])
def test_a_plan_that_needs_it_is_refused(root: Root, file: str) -> None:
    Path(getattr(root, file)).write_text("{")
    with pytest.raises(InputError, match=rf"{file}\.json is damaged"):
        look_ahead(parse_spec(SPEC, "spec.yaml"), root)


def test_so_is_what_was_calibrated(root: Root) -> None:
    root.calibration.write_text(f'{{"{calibration.machine()}": {{"layouts": []}}}}')
    with pytest.raises(InputError, match=r"calibration\.json is damaged \(.*layouts"):
        calibration.remembered(root)


@pytest.mark.parametrize("change", [("false", '"perhaps"'), ("2,", '"two",'), ('"network"', '"net"')])
def test_a_decision_that_was_edited_by_hand_must_still_be_one(root: Root, change: Any) -> None:
    root.compiling.write_text(ENTRY)
    assert read(root.compiling, Remembered)["key"].decision.network == "resnet8"
    root.compiling.write_text(ENTRY.replace(*change))
    with pytest.raises(InputError, match=r"compiling\.json is damaged \(key\.decision\."):
        known(parse_spec(SPEC, "spec.yaml"), root)
