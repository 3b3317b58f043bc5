"""The accuracy that a file states of its weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainers.teacher.stated import Stated, is_accuracy, stated_accuracy

HERE = Path("resnet8.pth")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "best_acc",
            "best_top1",
            "best_prec1",
            "best_prec",
            "acc",
            "acc1",
            "acc@1",
            "acc_1",
            "top1",
            "top_1",
            "prec1",
        ),
        *(
            "prec@1",
            "accuracy",
            "test_acc",
            "val_acc",
            "val/accuracy",
            "valid_acc",
            "best_accuracy",
            "bestAcc",
            "BEST_ACC",
        ),
        *("best_test_acc", "test-acc", "acc_top1", "best_acc1", "testAccuracy", "metrics.acc", "eval_top1"),
    ],
)
def test_names_of_top_1_accuracies_are_known(name: str) -> None:
    assert is_accuracy(name)


@pytest.mark.parametrize(
    "name",
    [
        *("train_acc", "trainAcc", "acc5", "acc@5", "top5", "top_5", "best_prec5", "acc_top5", "training_accuracy"),
        *("best_err1", "best_loss", "precision", "epoch", "account", "lr", "teacher_acc", "acc_loss", ""),
        *("best_acc_epoch", "acc_threshold", "grad_acc", "num_acc", "acc_std", "target_acc", "accEpoch", "acc_steps"),
    ],
)
def test_others_are_not(name: str) -> None:
    assert not is_accuracy(name)


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        (92.54, 92.54),
        (0.9254, 92.54),
        (1.0, 100.0),
        (93, 93.0),
        (torch.tensor(72.3), pytest.approx(72.3)),
        (torch.tensor([0.5]), 50.0),
        (torch.tensor(91, dtype=torch.int64), 91.0),
        *((value, None) for value in (0.0, -1.0, 101.0, float("nan"), float("inf"), True, None, "92.54", [92.5])),
        *((value, None) for value in (torch.zeros(3), torch.zeros((), device="meta"), torch.tensor(1 + 2j))),
        (torch.ones(1).to_sparse(), None),
    ],
)
def test_percent_and_shares_are_read_and_nothing_else(value: Any, percent: float | None) -> None:
    found = stated_accuracy({"best_acc": value, "model": {}}, HERE)
    assert (found.percent if found is not None else None) == percent


NESTED: dict[str, tuple[Any, str, float]] = {
    "metrics": ({"metrics": {"val_acc": 0.91, "train_acc": 0.99}}, "val_acc", 91.0),
    "options": ({"opt": argparse.Namespace(best_acc=71.5)}, "best_acc", 71.5),
    "the highest": ({"acc": 90.0, "best_acc": 91.0, "test_acc": 89.0}, "best_acc", 91.0),
    "lightning": (
        {
            "callbacks": {
                "ModelCheckpoint{'monitor': 'val_acc'}": {"monitor": "val_acc", "best_model_score": torch.tensor(0.75)},
                "EarlyStopping": {"monitor": "val_loss", "best_score": torch.tensor(0.1), "best_model_score": 0.9},
            }
        },
        "val_acc",
        75.0,
    ),
    "of the test images": ({"metrics": {"train": {"acc": 99.9}, "test": {"acc": 70.1}}}, "acc", 70.1),
    "not a teacher's": ({"teacher": {"acc": 80.1}, "student": {"acc": 70.1}}, "acc", 70.1),
    "among the weights": ({"fc.weight": torch.ones(1), "acc": torch.ones(1), "best_acc": 91.2}, "best_acc", 91.2),
    "lightning's name": ({"epoch": 3}, "val_acc", 92.0),
}


@pytest.mark.parametrize(("content", "name", "percent"), NESTED.values(), ids=NESTED)
def test_it_is_found_where_scripts_keep_it(content: Any, name: str, percent: float) -> None:
    path = Path("epoch=10-val_acc=0.92-train_acc=0.99.ckpt") if name == "val_acc" and percent == 92.0 else HERE
    assert stated_accuracy(content, path) == Stated(name=name, percent=percent)


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"acc.weight": torch.ones(1), "acc": torch.ones(1)}},  # a network with a layer of that name
        [{"acc": 90.0}],
        torch.zeros(3),
        {0: 90.0},
        {"a": {"b": {"c": {"d": {"acc": 90.0}}}}},
    ],
)
def test_nothing_is_stated_elsewhere(content: Any) -> None:
    assert stated_accuracy(content, Path("resnet8-epoch=3-loss=0.5.ckpt")) is None


@pytest.mark.parametrize("name", ["resnet8-val_acc=92.51.pth.tar", "val-acc=92.51.ckpt", "epoch=1-test_acc=92.51.pth"])
def test_what_stands_before_it_in_a_file_s_name_is_none_of_it(name: str) -> None:
    found = stated_accuracy({}, Path(name))
    assert found is not None
    assert found.percent == 92.51
    assert stated_accuracy({}, Path("resnet8-train-acc=92.51.ckpt")) is None


def test_a_scalar_of_numpy_is_a_number_once_it_is_read() -> None:
    assert stated_accuracy({"best_acc": float(np.float64(72.34))}, HERE) == Stated(name="best_acc", percent=72.34)
