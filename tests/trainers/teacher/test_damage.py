"""Damaged and odd weight files: one message of ours, or weights that fit, whatever lies there."""

from __future__ import annotations

import argparse
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.support.damage import damaged, little_memory, spoil
from trainers.errors import CheckpointError, InputError
from trainers.models import Network
from trainers.teacher.pretrained import read

TRIES = 60
Maker = Callable[[Path, Path, Random], None]


def repacked(whole: Path, path: Path, draw: Random) -> None:
    """A zip archive whose sums are right, with one part of it damaged: mostly what says what its tensors are."""
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        parts = {name: old.read(name) for name in old.namelist()}
        hurt = next(name for name in parts if name.endswith("data.pkl"))
        hurt = hurt if draw.random() < 0.8 else draw.choice(list(parts))
        for name, content in parts.items():
            new.writestr(name, damaged(content, draw) if name == hurt else content)


def spoilt(whole: Path, path: Path, draw: Random) -> None:
    path.write_bytes(whole.read_bytes())
    spoil(path, [whole], draw)


def head_damaged(whole: Path, path: Path, draw: Random) -> None:
    """Damage in the first kilobytes, where it says what the tensors are."""
    content = whole.read_bytes()
    path.write_bytes(damaged(content[:8000], draw) + content[8000:])


MAKERS: dict[str, tuple[str, Maker]] = {
    "zip": ("zip.pth", spoilt),
    "zip inside": ("zip.pth", repacked),
    "legacy": ("legacy.pth", spoilt),
    "legacy inside": ("legacy.pth", head_damaged),
    "company": ("company.pth", repacked),
    "company, legacy": ("company-legacy.pth", head_damaged),
    "safetensors": ("a.safetensors", spoilt),
    "safetensors inside": ("a.safetensors", head_damaged),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Path:
    """A folder with the same weights in each form."""
    folder, state = tmp_path_factory.mktemp("whole"), dict(network.state_dict())
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "a.safetensors")
    behind = {f"module.{key}": value for key, value in state.items()} | {"n_averaged": torch.tensor(3)}
    beside = {"path": Path("x"), "steps": defaultdict(list, a=[1]), "mean": np.zeros(3), "acc": np.float64(72.3)}
    company = {"ema": behind, "options": argparse.Namespace(**beside), "best_acc": np.float32(0.7)} | beside
    torch.save(company, folder / "company.pth")
    torch.save(company, folder / "company-legacy.pth", _use_new_zipfile_serialization=False)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", MAKERS)
def test_damage_is_one_message_or_none(case: str, whole: Path, tmp_path: Path) -> None:
    name, make = MAKERS[case]
    assert read(whole / name, "resnet8").architecture == "resnet8"
    said = []
    with little_memory():
        for seed in range(TRIES):
            path = tmp_path / f"{seed}-{name}"
            make(whole / name, path, Random(seed))
            try:
                found = read(path, "resnet8")
            except (CheckpointError, InputError) as error:
                said.append(str(error))
            else:
                assert all(value.isfinite().all() for value in found.state_dict.values())
    assert len(said) > TRIES / 10
    assert all(str(tmp_path) in message and len(message) < 2000 for message in said)
