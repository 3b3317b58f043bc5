"""Conflict of gradients, where it is known: as numbers, and through a whole network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from trainers.config import MethodConfig
from trainers.diagnostics import gradient_conflict, gradient_cosine
from trainers.diagnostics.conflict import LOGIT_LEVEL, levels, parts
from trainers.distillers import Batch, Distiller, Setting, build_distiller
from trainers.distillers.dhkd import AUX_LOSSES
from trainers.fit import seeded_model
from trainers.models import Features

IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))
TARGETS = torch.arange(12) % 10
RIGHT, UP = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 3.0])


def method(name: str = "dhkd", **params: Any) -> Distiller:
    """In evaluation mode, around a resnet8."""
    torch.manual_seed(0)
    return build_distiller(
        MethodConfig(name=name, params=params), seeded_model("resnet8", 10, seed=0), Setting(10)
    ).eval()


def batches(teacher_logits: Tensor, sizes: Sequence[int] = (12,), epoch: int = 1) -> list[Batch]:
    """The images with these logits of a teacher, in batches of these sizes."""
    pieces = [whole.split_with_sizes(list(sizes)) for whole in (IMAGES, TARGETS, torch.arange(12), teacher_logits)]
    return [
        Batch(images, targets, index, epoch, Features(logits, logits, (), ()))
        for images, targets, index, logits in zip(*pieces, strict=True)
    ]


def some_logits() -> Tensor:
    return 3 * torch.randn(12, 10, generator=torch.Generator().manual_seed(2))


# -- cosines


@pytest.mark.parametrize(
    ("first", "second", "cosine"),
    [
        ([RIGHT, UP], [RIGHT, UP], 1),
        ([RIGHT, UP], [-5 * RIGHT, -5 * UP], -1),
        ([RIGHT, UP], [UP, RIGHT], 0),
        ([RIGHT, None], [RIGHT, UP], 2 / math.sqrt(13)),
        ([None, UP], [RIGHT, -UP], -3 / math.sqrt(13)),
        ([RIGHT, None], [None, UP], 0),
        ([1e-30 * RIGHT], [1e30 * RIGHT], 1),
    ],
)
def test_the_cosine_of_known_gradients(first: list[Tensor], second: list[Tensor], cosine: float) -> None:
    assert gradient_cosine(first, second) == pytest.approx(cosine, abs=1e-15)
    assert gradient_cosine(second, first) == pytest.approx(cosine, abs=1e-15)


@pytest.mark.parametrize("missing", [[None, None], [torch.zeros(2), None], []])
def test_without_a_gradient_there_is_no_cosine(missing: list[Tensor | None]) -> None:
    other: list[Tensor | None] = [RIGHT, UP][: len(missing)]
    assert math.isnan(gradient_cosine(missing, other))
    assert math.isnan(gradient_cosine(other, missing))


@given(st.integers(0, 10_000), st.floats(1e-6, 1e6))
def test_the_cosine_ignores_length_and_stays_within_bounds(seed: int, factor: float) -> None:
    vector = torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert -1 <= gradient_cosine([vector], [-factor * vector]) <= -1 + 1e-12
    assert 1 - 1e-12 <= gradient_cosine([vector], [factor * vector]) <= 1


# -- which losses, which parameters


def test_weights_are_told_apart_by_level_and_zeros_left_out() -> None:
    assert levels({"ce": 1.0, "kd": 2.0, "mse": 0.5, "high": 0.0}) == ({"ce": 1.0, "kd": 2.0}, {"mse": 0.5})
    assert levels({"ce": 1.0, "binary_kl": 0.0}) == ({"ce": 1.0}, {})


def test_every_auxiliary_loss_but_kd_s_reads_logits() -> None:
    assert set(AUX_LOSSES) - LOGIT_LEVEL == {"kl"}
    assert set(AUX_LOSSES) >= LOGIT_LEVEL


@pytest.mark.parametrize(
    ("head", "names"), [("shared", {"backbone", "head"}), ("linear", {"backbone", "head", "aux_head"})]
)
def test_every_trained_parameter_belongs_to_one_part(head: str, names: set[str]) -> None:
    distiller = method(head=head)
    found = parts(distiller)
    assert set(found) == names
    places = [id(parameter) for part in found.values() for parameter in part]
    assert sorted(places) == sorted(map(id, distiller.parameters()))
    assert [tuple(parameter.shape) for parameter in found["head"]] == [(10, 64), (10,)]


# -- through a network


def mse_teacher(distiller: Distiller, factor: float) -> Tensor:
    """Teacher's logits whose squared distance has `factor` times the cross-entropy's gradient, at every logit.

    The cross-entropy's gradient is (p - y) / B, that of the mean square 2 (z - t) / (B C).
    """
    logits = distiller.student(IMAGES).detach()
    push = logits.softmax(dim=1) - F.one_hot(TARGETS, 10)
    return logits - factor * 5 * push


@pytest.mark.parametrize(("factor", "cosine"), [(2.0, 1.0), (-0.5, -1.0)])
def test_losses_that_agree_or_oppose_at_every_logit_do_so_everywhere(factor: float, cosine: float) -> None:
    distiller = method(head="shared", aux_loss="mse")
    found = gradient_conflict(distiller, batches(mse_teacher(distiller, factor), (5, 7)), 1)
    assert found == pytest.approx({"conflict_backbone": cosine, "conflict_head": cosine}, abs=1e-5)


@pytest.mark.parametrize("head", ["shared", "linear", "nonlinear"])
def test_batches_add_up_to_the_gradient_of_all_images(head: str) -> None:
    distiller = method(head=head, main="kd", alpha=0.3)
    (batch,) = batches(some_logits())
    terms, weights = distiller.losses(batch).terms, distiller.weights(1)
    whole = {"first": weights["ce"] * terms["ce"] + weights["kd"] * terms["kd"], "second": terms["binary_kl_norm"]}
    backbone = parts(distiller)["backbone"]
    flat = {
        name: torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, backbone, retain_graph=True)])
        for name, loss in whole.items()
    }
    expected = F.cosine_similarity(flat["first"].double(), flat["second"].double(), dim=0).item()
    found = gradient_conflict(distiller, batches(some_logits(), (1, 4, 7)), 1)
    assert found["conflict_backbone"] == pytest.approx(expected, abs=1e-5)
    assert abs(expected) < 0.99


@pytest.mark.parametrize("head", ["linear", "nonlinear"])
def test_a_head_that_one_loss_reaches_has_no_conflict(head: str) -> None:
    found = gradient_conflict(method(head=head), batches(some_logits()), 1)
    assert math.isfinite(found["conflict_backbone"])
    assert math.isnan(found["conflict_head"])
    assert math.isnan(found["conflict_aux_head"])


@pytest.mark.parametrize(
    ("name", "params", "epoch"),
    [
        ("kd", {}, 1),
        ("scratch", {}, 1),
        ("dhkd", {"aux_loss": "kl"}, 1),
        ("dhkd", {"alpha": 0}, 1),
        ("dhkd", {"ce_weight": 0}, 1),
        ("dhkd", {"alpha_epochs": 3}, 4),
    ],
)
def test_methods_without_both_kinds_of_loss_are_not_asked(name: str, params: dict[str, Any], epoch: int) -> None:
    """The batches carry no teacher: asking for a loss would fail."""
    bare = [Batch(IMAGES, TARGETS, torch.arange(12), epoch)]
    assert gradient_conflict(method(name, **params), bare, epoch) == {}


def test_no_parameter_gets_a_gradient() -> None:
    distiller = method(head="nonlinear")
    gradient_conflict(distiller, batches(some_logits()), 1)
    assert all(parameter.grad is None for parameter in distiller.parameters())
