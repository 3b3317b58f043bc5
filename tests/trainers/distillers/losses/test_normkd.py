"""NormKD, plain and around DKD: the authors' numbers, and what sets it apart from LSKD."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trainers.distillers.examples import logits, value_and_gradient
from tests.trainers.distillers.losses.authors import assert_the_authors, cases_of
from trainers.distillers import dkd_loss, kd_loss, lskd_loss, normkd_dkd_loss, normkd_loss


@pytest.mark.parametrize("case", cases_of("normkd", "normkd"))
def test_it_is_the_release_s(case: dict[str, Any]) -> None:
    options = {"temperature": case["hyper"]["T_norm"]}
    assert_the_authors("normkd", case, lambda x: normkd_loss(x["student"], x["teacher"], **options))


@pytest.mark.parametrize("case", cases_of("normkd", "normkd_dkd"))
def test_around_dkd_it_is_the_release_s(case: dict[str, Any]) -> None:
    hyper = case["hyper"]
    options = {"alpha": hyper["alpha"], "beta": hyper["beta"], "temperature": hyper["T_norm"]}
    assert_the_authors("normkd", case, lambda x: normkd_dkd_loss(x["student"], x["teacher"], x["target"], **options))


def test_of_one_sample_it_is_kd_with_a_temperature_for_each_side() -> None:
    """Equal deviations are one temperature."""
    student, teacher, label = logits((1, 8), 0), logits((1, 8), 1), torch.tensor([3])
    student = student * teacher.std() / student.std()
    same = 2 * teacher.std().item()
    torch.testing.assert_close(normkd_loss(student, teacher), kd_loss(student, teacher, temperature=same))
    torch.testing.assert_close(
        normkd_dkd_loss(student, teacher, label), dkd_loss(student, teacher, label, temperature=same)
    )


def test_unlike_lskd_it_weighs_a_loud_teacher_more_and_like_it_the_student_s_loudness_does_not_matter() -> None:
    student, teacher = logits((5, 8), 0), logits((5, 8), 1)
    torch.testing.assert_close(lskd_loss(student, 3 * teacher), lskd_loss(student, teacher))
    torch.testing.assert_close(normkd_loss(student, 3 * teacher), 9 * normkd_loss(student, teacher))
    torch.testing.assert_close(normkd_loss(3 * student + 5, teacher), normkd_loss(student, teacher))
    loud = teacher / teacher.std(dim=1, keepdim=True)
    torch.testing.assert_close(normkd_loss(student, loud), lskd_loss(student, loud))


@pytest.mark.parametrize("loss", [normkd_loss, lambda s, t: normkd_dkd_loss(s, t, torch.tensor([0, 4]))])
@pytest.mark.parametrize("constant", [0.0, 1e4])
def test_constant_logits_teach_nothing_and_break_nothing(loss: Any, constant: float) -> None:
    some, none = logits((2, 5), 0, dtype=torch.float32), torch.full((2, 5), constant)
    value, gradient = value_and_gradient(loss, some, none)
    assert value.item() == 0
    assert gradient.abs().max().item() == 0
    value, gradient = value_and_gradient(loss, none, some)
    assert value > 0
    assert gradient.isfinite().all()
