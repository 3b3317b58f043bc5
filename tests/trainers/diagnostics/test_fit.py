"""Diagnostics in the training loop: they look on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.examples import finish, small_trial
from trainers.data import ImageData
from trainers.diagnostics import MEASURES
from trainers.fit import fit
from trainers.models import Network
from trainers.result import EpochResult
from trainers.storage.content import tensors_key

METHODS = {
    "scratch": ("scratch", {}),
    "dhkd shared": ("dhkd", {"head": "shared"}),
    "dhkd nonlinear": ("dhkd", {"head": "nonlinear"}),  # has dropout
    "crd": ("crd", {}),  # reads the teacher's features
}


@pytest.fixture(scope="module")
def few(digits: ImageData) -> ImageData:
    return replace(digits, test=digits.test.take(torch.arange(100)))


def run(name: str, few: ImageData, teacher: Network, **recipe: Any) -> tuple[list[EpochResult], str]:
    method, params = METHODS[name]
    taught = None if method == "scratch" else teacher
    results, student = finish(fit(small_trial(method, params, **recipe), data=few, teacher=taught))
    return results, tensors_key(student.state_dict())


@pytest.mark.parametrize("name", METHODS)
def test_a_trial_s_numbers_are_the_same_with_and_without_them(name: str, few: ImageData, teacher: Network) -> None:
    without, weights = run(name, few, teacher)
    watched, same = run(name, few, teacher, diagnostics=True)
    assert same == weights
    assert [replace(result, diagnostics={}) for result in watched] == without
    assert all(result.diagnostics for result in watched)
    assert {key for result in watched for key in result.diagnostics} <= set(MEASURES)


def test_every_so_many_epochs_and_after_the_last(few: ImageData, teacher: Network) -> None:
    results, _ = run("scratch", few, teacher, diagnostics=True, diagnostics_every=2, epochs=5)
    assert [bool(result.diagnostics) for result in results] == [False, True, False, True, True]


@pytest.mark.slow(1)
def test_an_interrupted_trial_is_diagnosed_as_if_it_had_not_been(
    few: ImageData, teacher: Network, tmp_path: Path
) -> None:
    trial = small_trial("dhkd", {"head": "nonlinear"}, diagnostics=True)
    training = fit(trial, data=few, teacher=teacher, folder=tmp_path)
    next(training)
    training.close()
    resumed, _ = finish(fit(trial, data=few, teacher=teacher, folder=tmp_path))
    whole, _ = finish(fit(trial, data=few, teacher=teacher))
    assert resumed == whole
    assert resumed[0].replayed
