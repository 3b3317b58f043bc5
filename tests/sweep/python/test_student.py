"""A trained student, with what its images go through first."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import sweep
from sweep.layout import Root
from sweep.ledger.bodies import final_body, start_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.python.results import Results
from sweep.python.student import Student
from tests.support.examples import begin, job_of, record, slot_of, small_spec
from trainers.data import ImageData
from trainers.data.sources.digits import Digits
from trainers.errors import CheckpointError, InputError
from trainers.fit import fit

PAIR = "resnet20→resnet8"


@pytest.fixture(scope="module")
def data() -> ImageData:
    return Digits(image_size=8).load()


@pytest.fixture(scope="module")
def plan() -> Plan:
    recipe = {"base": "digits", "epochs": 2, "warmup_epochs": 0, "samples_per_class": 20}
    return build_plan(small_spec(recipe=recipe))


@pytest.fixture
def results(root: Root, ledger: Ledger, plan: Plan, data: ImageData) -> Results:
    """Of a sweep whose scratch of seed 0 was really trained; kd of seed 0 diverged, dhkd's weights are gone."""
    begin(ledger, plan)
    job = job_of(plan, slot_of(plan, "scratch"))
    epochs = [asdict(one) for one in fit(job.trial, data=data, folder=root.sweep("small").trial(job.key))]
    ledger.append("start", job.key, body=start_body(job.slot, job.trial))
    ledger.append("final", job.key, body=final_body("finished", epochs, plan.protocol))
    record(ledger, plan, slot_of(plan, "kd"), [50.0], "diverged")
    record(ledger, plan, slot_of(plan, "dhkd α=1"), [50.0])
    return sweep.open("small", root=root.path)


def images_of(data: ImageData) -> tuple[Tensor, Tensor]:
    """All test images, uint8 ``[N, 3, 8, 8]``, with their labels."""
    (split,) = data.test.batches([torch.arange(len(data.test))])
    return split.images, split.labels


def test_a_student_has_on_raw_images_the_accuracy_that_its_trial_has(results: Results, data: ImageData) -> None:
    student = results.student(PAIR, "scratch", 0)
    assert isinstance(student, torch.nn.Module)
    assert not student.training
    images, labels = images_of(data)
    with torch.inference_mode():
        logits = student(images)
        floats = student(images.float() / 255)
        one = student(images[7])
    (trial,) = results.trials().query("label == 'scratch' and seed == 0").itertuples()
    correct = (logits.argmax(1) == labels).float().mean().item()
    assert 100 * correct == pytest.approx(trial.test_acc)
    assert torch.equal(logits, floats)
    torch.testing.assert_close(one, logits[7])


def test_the_pair_is_named_as_the_table_or_as_a_spec_names_it(results: Results) -> None:
    named = [results.student(pair, "scratch") for pair in (PAIR, "resnet20 -> resnet8", "resnet20->resnet8")]
    weights = [student.state_dict() for student in named]
    assert all(torch.equal(weights[0][name], other[name]) for other in weights for name in weights[0])
    assert {"mean", "std"} <= weights[0].keys()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (("resnet20→resnet88", "kd", 0), "unknown pair 'resnet20→resnet88'; did you mean 'resnet20→resnet8'"),
        ((PAIR, "kdd", 0), "unknown row 'kdd'; did you mean 'kd'"),
        ((PAIR, "kd", 7), "unknown seed '7'; valid: 0, 1"),
        ((PAIR, "dhkd", 0), "'dhkd' has several rows; name one of them: 'dhkd α=0.5', 'dhkd α=1'"),
        ((PAIR, "kd", 0), "kd · seed 0 is diverged: loss term 'kd' became nan at epoch 2, step 1; it has no student"),
        ((PAIR, "scratch", 1), "scratch · seed 1 is waiting; it has no student"),
    ],
)
def test_a_place_without_a_student_is_refused(results: Results, place: tuple[str, str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        results.student(*place)


def test_weights_that_are_gone_are_refused(results: Results) -> None:
    says = r"the weights of .* dhkd α=1 · seed 0 are not there, .*weights.pt; there are those of .* scratch · seed 0$"
    with pytest.raises(CheckpointError, match=says):
        results.student(PAIR, "dhkd α=1")


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.zeros(2, 1, 8, 8), r"reads images \[B, 3, 8, 8\], found \[2, 1, 8, 8\]"),
        (torch.zeros(3, 8, 9), r"found \[1, 3, 8, 9\]"),
        (torch.zeros(8, 8), r"found \[8, 8\]"),
        (torch.full((2, 3, 8, 8), 200.0), "floats up to 200; divide by 255"),
        (
            np.zeros((2, 3, 8, 8), np.uint8),
            r"a tensor of images \[B, 3, 8, 8\], found ndarray; torch.as_tensor",
        ),
    ],
)
def test_images_of_another_kind_are_refused(images: Any, says: str) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
    student = Student(network, {"size": [8, 8], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]})
    with pytest.raises(InputError, match=says):
        student(images)


def test_a_student_moves_and_is_saved_as_any_module(tmp_path: Path) -> None:
    student = Student(torch.nn.Flatten(), {"size": [8, 8], "mean": [0.5, 0.25, 0.0], "std": [0.5, 0.25, 1.0]})
    black, white = student(torch.zeros(1, 3, 8, 8)), student(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8))
    assert black.view(3, 64)[:, 0].tolist() == [-1.0, -1.0, 0.0]
    assert white.view(3, 64)[:, 0].tolist() == [1.0, 3.0, 1.0]
    assert student.double()(torch.zeros(1, 3, 8, 8)).dtype == torch.float64
    torch.save(student.state_dict(), tmp_path / "student.pt")
    assert set(torch.load(tmp_path / "student.pt", weights_only=True)) == {"mean", "std"}
