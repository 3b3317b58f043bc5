"""The training loop on data that do not lie in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainers.data.examples import write_folder, write_parquet
from tests.trainers.examples import finish, small_recipe
from trainers.config import DatasetConfig, MethodConfig, TrialConfig
from trainers.data import ImageData, Split
from trainers.data.pixels.mapped import MappedSplit
from trainers.data.sources.folder import Folder
from trainers.data.sources.parquet import Parquet
from trainers.fit import fit, seeded_model
from trainers.loop.evaluate import accuracy
from trainers.result import EpochResult
from trainers.storage.content import tensors_key
from trainers.views.views import Views

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from Python 3.12 on

COUNT, CLASSES, SIDE = 36, 3, 16


def drawn() -> np.ndarray:
    """Images whose mean colour tells their class: 0, 1, 2, 0, 1, ..."""
    noise = np.random.default_rng(5).integers(0, 120, (COUNT, 20, 24, 3))
    noise[np.arange(COUNT), :, :, np.arange(COUNT) % CLASSES] += 100
    return noise.astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, images = tmp_path_factory.mktemp("folders"), drawn()
    classes = {f"class{label}": images[label::CLASSES] for label in range(CLASSES)}
    write_folder(root, {name: part[:8] for name, part in classes.items()}, {n: part[8:] for n, part in classes.items()})
    return root


def streamed(folder: Path, workers: int) -> ImageData:
    return Folder(path=folder, image_size=SIDE, resize=18, memory_gb=0, workers=workers).load()


def mapped(folder: Path) -> ImageData:
    return Folder(path=folder, image_size=SIDE, resize=18).load()


def in_memory(data: ImageData) -> ImageData:
    """The same images as plain tensors."""
    splits = [split for split in (data.train, data.test) if isinstance(split, MappedSplit)]
    train, test = (Split(split.images, split.labels, split.index) for split in splits)
    return replace(data, train=train, test=test)


def trial(seed: int = 0, **recipe: object) -> TrialConfig:
    fields = {"epochs": 2, "batch_size": 7, "samples_per_class": None, "val_fraction": 0.25, "flip": True}
    return TrialConfig(
        dataset=DatasetConfig(name="any"),
        model="resnet8",
        method=MethodConfig(name="scratch"),
        recipe=small_recipe(**(fields | recipe)),
        seed=seed,
    )


def run(data: ImageData, folder: Path | None = None, **recipe: object) -> tuple[list[EpochResult], str]:
    results, student = finish(fit(trial(**recipe), data=data, folder=folder))
    return results, tensors_key(student.state_dict())


@pytest.mark.slow(2)
def test_a_streamed_trial_has_the_same_numbers_with_any_number_of_workers(folder: Path) -> None:
    assert run(streamed(folder, 0)) == run(streamed(folder, 2))


@pytest.mark.slow(1)
@pytest.mark.parametrize("stop", [1, 2])
def test_a_streamed_trial_goes_on_bit_for_bit(folder: Path, tmp_path: Path, stop: int) -> None:
    training = fit(trial(), data=streamed(folder, 1), folder=tmp_path)
    for _ in range(stop):
        next(training)
    training.close()
    assert run(streamed(folder, 0), tmp_path) == run(streamed(folder, 0))


def test_a_streamed_set_is_learnt(folder: Path) -> None:
    results, _ = run(streamed(folder, 0), epochs=8, lr=0.1)
    assert results[-1].test_acc > 60  # chance is 33


def test_a_mapped_set_trains_as_one_in_memory(folder: Path) -> None:
    data = mapped(folder)
    assert run(data) == run(in_memory(data))
    assert data.content == in_memory(replace(data, fingerprint="")).content


def test_a_mapped_and_a_streamed_set_are_evaluated_alike(folder: Path) -> None:
    network = seeded_model("resnet8", CLASSES, seed=1)
    one, other = mapped(folder), replace(streamed(folder, 0), mean=mapped(folder).mean, std=mapped(folder).std)
    autocast = torch.autocast("cpu", enabled=False)
    accuracies = [
        accuracy(network, split, Views(small_recipe(), data, torch.device("cpu")), autocast)
        for data in (one, other)
        for split in (data.test,)
    ]
    assert accuracies[0] == accuracies[1]


def test_without_views_a_streamed_set_trains_on_what_is_evaluated(folder: Path) -> None:
    one, other = mapped(folder), streamed(folder, 0)
    other = replace(other, mean=one.mean, std=one.std)
    assert run(one, views="none") == run(other, views="none")
    assert run(one) != run(other)


def test_parquet_trains_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    images = drawn()[:, :SIDE, :SIDE]
    write_parquet(tmp_path / "set", images[:24], images[24:])
    data = Parquet(path=tmp_path / "set").load()
    training = fit(trial(), data=data, folder=tmp_path / "trial")
    next(training)
    training.close()
    whole = run(in_memory(data))
    assert run(Parquet(path=tmp_path / "set").load(), tmp_path / "trial") == whole
    assert len(whole[0]) == 2
