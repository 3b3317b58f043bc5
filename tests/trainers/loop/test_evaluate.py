"""Accuracy."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from tests.trainers.examples import small_recipe
from trainers.contract.pretended_gpu import pretended
from trainers.data import ImageData, Split
from trainers.loop import evaluate
from trainers.loop.evaluate import EVAL_BATCH, accuracies, accuracy, correct_in_top, images_of_a_pass, percent
from trainers.models import Network
from trainers.views.views import Views

OFF = torch.autocast("cpu", torch.bfloat16, enabled=False)


def test_hits_are_counted_in_the_first_and_the_first_five() -> None:
    logits = torch.arange(8.0).repeat(4, 1)  # class 7 is first, 3 is fifth
    assert correct_in_top(logits, torch.tensor([7, 3, 2, 7])).tolist() == [2, 3]


def test_with_few_classes_all_are_in_the_first_five() -> None:
    assert correct_in_top(torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]))[1] == 6


def test_counts_become_percentages() -> None:
    assert percent(torch.tensor([1, 3]), 8) == (12.5, 37.5)


def test_accuracy_is_that_of_one_pass_over_all_images(digits: ImageData, teacher: Network) -> None:
    views = Views(small_recipe(), digits, torch.device("cpu"))
    assert len(digits.test) > EVAL_BATCH
    assert len(digits.test) % EVAL_BATCH
    with torch.no_grad():
        best = teacher(views.plain(digits.test.images)).topk(5).indices
    hits = best == digits.test.labels[:, None]
    expected = (100 * hits[:, 0].double().mean().item(), 100 * hits.any(1).double().mean().item())
    assert accuracy(teacher, digits.test, views, OFF) == pytest.approx(expected, abs=0.11)  # one image is 0.1


def test_evaluation_changes_no_weight_and_no_statistic(few: ImageData, teacher: Network) -> None:
    teacher.train()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    accuracy(teacher, few.test, Views(small_recipe(), few, torch.device("cpu")), OFF)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert not teacher.training


def test_perfect_labels_score_100(few: ImageData, teacher: Network) -> None:
    views = Views(small_recipe(), few, torch.device("cpu"))
    with torch.no_grad():
        answers = teacher.eval()(views.plain(few.test.images)).argmax(1)
    labelled = replace(few.test, labels=answers)
    assert accuracy(teacher, labelled, views, OFF).top1 == 100
    wrong = Split(few.test.images, (answers + 1) % 10, few.test.index)
    assert accuracy(teacher, wrong, views, OFF).top1 == 0


def test_several_splits_on_a_gpu_are_waited_for_once(
    few: ImageData, teacher: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "EVAL_BATCH", 16)
    monkeypatch.setattr(evaluate, "EVAL_BATCH_GPU", 32)
    splits = [few.test, few.train.take(torch.arange(50))]
    expected = [accuracy(teacher, split, Views(small_recipe(), few, torch.device("cpu")), OFF) for split in splits]
    with pretended() as gpu:
        place = torch.device("cuda", 0)
        network, views = copy.deepcopy(teacher).to(place), Views(small_recipe(), few, place)
        there = [split.to(place) for split in splits]
        gpu.waits.clear()
        found = accuracies(network, there, views, torch.autocast("cuda", torch.bfloat16, enabled=False))
        waits = [wait.call for wait in gpu.waits]
    assert found == expected
    assert waits == ["cpu"]


def test_a_pass_on_a_gpu_has_more_images_as_far_as_they_are_small() -> None:
    def sized(device: str, side: int) -> int:
        with pretended():
            blank = torch.zeros(1, 3, side, side, dtype=torch.uint8)
            return images_of_a_pass(Split(blank, torch.zeros(1), torch.zeros(1)).to(torch.device(device)))

    assert [sized("cpu", side) for side in (32, 224)] == [EVAL_BATCH] * 2
    assert [sized("cuda", side) for side in (32, 64, 96, 224)] == [1024, 1024, 578, EVAL_BATCH]
