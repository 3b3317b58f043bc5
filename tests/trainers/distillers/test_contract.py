"""What every method promises, whatever it does."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from trainers.config import MethodConfig
from trainers.content import canonical_json
from trainers.distillers import METHODS, Batch, Distiller, build_distiller
from trainers.fit import seeded_model
from trainers.models import Network

NEEDY = [name for name, method in METHODS.items() if method.teacher_needs != "nothing"]


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> Distiller:
    """Each method with its default hyperparameters, around a resnet8."""
    torch.manual_seed(0)
    return build_distiller(MethodConfig(name=request.param), seeded_model("resnet8", 10, seed=0), 10).train()


def some_batch(teacher: Network, *, epoch: int = 1, learning_teacher: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(16, 3, 8, 8, generator=generator)
    targets = torch.randint(0, 10, (16,), generator=generator)
    with torch.set_grad_enabled(learning_teacher):
        taught = teacher.eval().features(images)
    return Batch(images, targets, torch.arange(16), epoch, taught)


def test_losses_are_finite_scalars_with_the_cross_entropy_among_them(method: Distiller, teacher: Network) -> None:
    batch = some_batch(teacher)
    losses = method.losses(batch)
    assert losses.logits.shape == (16, 10)
    assert losses.logits.dtype == torch.float32
    for term in losses.terms.values():
        assert term.shape == ()
        assert term.isfinite()
    torch.testing.assert_close(losses.terms["ce"], F.cross_entropy(losses.logits, batch.targets))


def test_logits_are_the_bare_student_s(method: Distiller, teacher: Network) -> None:
    batch = some_batch(teacher)
    torch.testing.assert_close(method.losses(batch).logits, method.student(batch.images).float())


def test_every_term_has_a_weight_in_every_epoch(method: Distiller, teacher: Network) -> None:
    terms = set(method.losses(some_batch(teacher)).terms)
    for epoch in (1, 2, 20, 151, 240):
        weights = method.weights(epoch)
        assert set(weights) == terms
        assert all(weight >= 0 for weight in weights.values())
        assert any(weights.values())


def test_every_learned_parameter_gets_a_gradient_and_the_teacher_none(method: Distiller, teacher: Network) -> None:
    losses = method.losses(some_batch(teacher, learning_teacher=True))
    weights = method.weights(100)
    torch.stack([weights[name] * term for name, term in losses.terms.items()]).sum().backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_student_is_neither_copied_nor_renamed(method: Distiller) -> None:
    bare = seeded_model("resnet8", 10, seed=0)
    assert list(method.student.state_dict()) == list(bare.state_dict())
    for key, value in bare.state_dict().items():
        assert torch.equal(method.state_dict()[f"student.{key}"], value)


def test_losses_repeat_in_evaluation_mode(method: Distiller, teacher: Network) -> None:
    method.eval()
    one, other = (method.losses(some_batch(teacher)).terms for _ in range(2))
    assert {name: term.item() for name, term in one.items()} == {name: term.item() for name, term in other.items()}


def test_the_order_of_the_batch_does_not_matter(method: Distiller, teacher: Network) -> None:
    method.eval()
    batch = some_batch(teacher)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        taught = teacher.eval().features(batch.images[order])
        shuffled = method.losses(Batch(batch.images[order], batch.targets[order], batch.index[order], 1, taught))
        losses = method.losses(batch)
    for name, term in losses.terms.items():
        torch.testing.assert_close(shuffled.terms[name], term, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NEEDY)
def test_a_missing_teacher_is_a_wiring_error(name: str, teacher: Network) -> None:
    method = build_distiller(MethodConfig(name=name), seeded_model("resnet8", 10, seed=0), 10)
    images = torch.randn(4, 3, 8, 8)
    with pytest.raises(TypeError, match="needs a teacher"):
        method.losses(Batch(images, torch.arange(4), torch.arange(4), 1))


@pytest.mark.parametrize("name", METHODS)
def test_defaults_can_be_written_into_a_config(name: str) -> None:
    params = METHODS[name].Params()
    content = params.model_dump(mode="json")
    assert METHODS[name].Params.model_validate(content) == params
    assert canonical_json(content)
    assert METHODS[name].summary
    assert "\n" not in METHODS[name].summary
