"""The logit-level methods as the trainer uses them: terms, weights, limits, and that they can be learnt from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from trainers.config import MethodConfig
from trainers.distillers import (
    METHODS,
    Batch,
    Distiller,
    Setting,
    build_distiller,
    dkd_loss,
    gdkd3_loss,
    gdkd_loss,
    kd_loss,
    standardize,
)
from trainers.distillers.base import ramp
from trainers.errors import InputError
from trainers.models import Features, build

DOCS = Path(__file__).parents[4] / "docs" / "methods.md"
LOGIT_METHODS = (
    "kd",
    "dkd",
    "gdkd",
    "gdkd3",
    "dist",
    "lskd",
    "nkd",
    "ttm",
    "wttm",
    "rld",
    "la",
    "rc",
    "lr_revision",
    "abkd",
    "abkd_dkd",
    "normkd",
    "normkd_dkd",
    "ldrld",
)
AUX_LOSSES = ("binary_kl_norm", "binary_kl", "kl", "mse")


def _distiller(method: str, **params: Any) -> Distiller:
    torch.manual_seed(0)
    return build_distiller(MethodConfig(name=method, params=params), build("resnet8", num_classes=10), Setting(10))


def _batch(epoch: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(16, 3, 8, 8, generator=generator)
    targets = torch.randint(10, (16,), generator=generator)
    logits = torch.randn(16, 10, generator=generator) + 3 * F.one_hot(targets, 10)
    teacher = Features(logits, torch.empty(16, 0), (), ())
    return Batch(images, targets, torch.arange(16), epoch, teacher)


def _total(distiller: Distiller, batch: Batch) -> torch.Tensor:
    weights, terms = distiller.weights(batch.epoch), distiller.losses(batch).terms
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


@pytest.mark.parametrize("method", LOGIT_METHODS)
@pytest.mark.parametrize("epoch", [1, 30])
def test_every_term_has_a_weight_and_is_a_finite_scalar(method: str, epoch: int) -> None:
    distiller, batch = _distiller(method), _batch(epoch)
    output = distiller.losses(batch)
    assert output.logits.shape == (16, 10)
    assert output.terms.keys() == distiller.weights(epoch).keys()
    assert torch.equal(output.terms["ce"], F.cross_entropy(output.logits, batch.targets))
    assert all(term.shape == () and torch.isfinite(term) for term in output.terms.values())


@pytest.mark.parametrize(
    ("method", "params"),
    [*((name, {}) for name in LOGIT_METHODS), *(("dhkd", {"aux_loss": name}) for name in AUX_LOSSES)],
)
def test_the_loss_falls_under_gradient_steps(method: str, params: dict[str, Any]) -> None:
    distiller, batch = _distiller(method, **params), _batch(epoch=20)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        loss = _total(distiller, batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(distiller.parameters(), 5.0)
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("method", ["dkd", "gdkd", "gdkd3", "rld", "normkd_dkd", "abkd_dkd"])
def test_warm_up_reaches_the_full_weights_in_its_last_epoch(method: str) -> None:
    distiller = _distiller(method)
    full = distiller.weights(20)
    assert full == distiller.weights(21) == _distiller(method, warmup_epochs=0).weights(1)
    for epoch in (1, 10):
        weights = distiller.weights(epoch)
        assert weights.pop("ce") == 1
        assert weights == {name: pytest.approx(epoch / 20 * full[name]) for name in weights}


def test_ramp() -> None:
    assert [ramp(epoch, 4) for epoch in (1, 2, 4, 5)] == [0.25, 0.5, 1, 1]
    assert ramp(1, 0) == 1


@pytest.mark.parametrize("flag", [False, True])
def test_weighted_terms_add_up_to_the_plain_loss(flag: bool) -> None:
    """With and without standardisation, options handed through."""
    batch = _batch(epoch=20)
    teacher = batch.need_teacher().logits
    teacher = standardize(teacher) if flag else teacher
    options: dict[str, Any] = {"temperature": 2.0}
    cases = {
        "dkd": ({"alpha": 0.5, "beta": 3.0, "partition": "top1", "kl": "both"}, dkd_loss),
        "gdkd": ({"k": 3, "w0": 0.5, "w1": 2.0, "w2": 4.0, "partition": "worst", "kl": "reverse"}, gdkd_loss),
        "gdkd3": ({"k": 3, "w0": 0.5, "w1": 2.0, "w2": 4.0}, gdkd3_loss),
    }
    for method, (params, loss) in cases.items():
        distiller = _distiller(method, **params, **options, standardize=flag, ce_weight=0.0)
        logits = distiller.losses(batch).logits
        student = standardize(logits) if flag else logits
        targets = (batch.targets,) if method == "dkd" else ()
        torch.testing.assert_close(_total(distiller, batch), loss(student, teacher, *targets, **params, **options))


def test_lskd_is_kd_of_standard_scores() -> None:
    distiller, batch = _distiller("lskd", temperature=3.0), _batch()
    output = distiller.losses(batch)
    expected = kd_loss(standardize(output.logits), standardize(batch.need_teacher().logits), temperature=3.0)
    torch.testing.assert_close(output.terms["lskd"], expected)


@pytest.mark.parametrize("method", ["gdkd", "gdkd3"])
def test_as_many_classes_as_the_data_set_has_are_refused(method: str) -> None:
    assert _distiller(method, k=9)
    with pytest.raises(InputError, match=r"k must be smaller than the number of classes \(10\), found 10"):
        _distiller(method, k=10)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("gdkd3", {"k": 1}),
        ("gdkd", {"k": 0}),
        ("gdkd", {"partition": "top1"}),
        ("dkd", {"kl": "sideways"}),
        ("ttm", {"gamma": 1.5}),
        ("lskd", {"temperature": 0}),
        ("dhkd", {"aux_loss": "l1"}),
        ("kd", {"standardize": True}),
    ],
)
def test_impossible_values_are_refused(method: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _distiller(method, **params)


@pytest.mark.parametrize("method", METHODS)
def test_the_guide_describes_every_field_with_its_default(method: str) -> None:
    text = DOCS.read_text()
    head = f"\n## `{method}`"
    assert head in text
    section = text.split(head, 1)[1].split("\n## ", 1)[0]
    for name, field in METHODS[method].Params.model_fields.items():
        value = field.default.name if isinstance(field.default, MethodConfig) else field.default
        default = value if isinstance(value, str) else json.dumps(value)
        assert f"| `{name}` | {default} |" in section
        assert field.description
