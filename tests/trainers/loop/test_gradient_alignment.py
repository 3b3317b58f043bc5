"""Gradient alignment, against the authors' release and by its properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests import goldens
from trainers.distillers import binary_kl_norm_loss, kd_loss
from trainers.loop.gradient_alignment import aligned_gradients, sums
from trainers.models import auxiliary_head, build

CASES = goldens.index("grad_align")
ARRAYS = goldens.arrays("grad_align")
TINY = [case for case in CASES if case["id"].startswith("tiny:")]
NETWORKS = [case for case in CASES if case["id"].startswith("net:")]


def case_id(case: dict[str, Any]) -> str:
    return str(case["id"])


class Tiny:
    """The network of the `tiny:` cases, at its starting point."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.hyper = case["hyper"]
        self.data = {key.split("/", 1)[1]: value for key, value in ARRAYS.items() if key.startswith(case["id"] + "/")}
        self.parameters = {name: nn.Parameter(self.data[f"param/{name}"].clone()) for name in case["param_order"]}

    def losses(self) -> list[Tensor]:
        p, h = self.parameters, self.hyper
        z = F.relu(F.linear(self.data["x"], p["backbone.weight"], p["backbone.bias"]))
        main, aux = F.linear(z, p["fc.weight"], p["fc.bias"]), F.linear(z, p["fc2.weight"], p["fc2.bias"])
        teacher = self.data["teacher"]
        losses = [
            h["gamma"] * F.cross_entropy(main, self.data["target"]),
            h["alpha"] * binary_kl_norm_loss(aux, teacher, temperature=h["T"]),
        ]
        if h["nobj"] == 3:
            losses.append(h["delta"] * kd_loss(main, teacher, temperature=h["T_kd"]))
        return losses

    def aligned(self) -> list[Tensor]:
        anchor, *others = self.losses()
        return aligned_gradients(anchor, others, list(self.parameters.values()))

    def optimizer(self) -> torch.optim.Optimizer:
        groups: list[dict[str, Any]] = [{"params": list(self.parameters.values())}]
        if self.hyper["groups"] == 2:  # heads first, then the rest without decay
            heads = [value for name, value in self.parameters.items() if name.startswith("fc")]
            rest = [value for name, value in self.parameters.items() if not name.startswith("fc")]
            groups = [{"params": heads}, {"params": rest, "weight_decay": 0.0}]
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=5e-4)


@pytest.mark.parametrize("case", TINY, ids=case_id)
def test_merged_gradients_are_the_release_s(case: dict[str, Any]) -> None:
    tiny = Tiny(case)
    for position, loss in enumerate(tiny.losses()):
        assert loss.item() == pytest.approx(tiny.data[f"loss{position}"].item(), rel=1e-5)
    merged = torch.cat([gradient.flatten() for gradient in tiny.aligned()])
    torch.testing.assert_close(merged, tiny.data["merged_flat"], rtol=0, atol=case["tol"]["atol"])


@pytest.mark.parametrize("case", TINY, ids=case_id)
def test_two_steps_end_where_the_release_s_end(case: dict[str, Any]) -> None:
    tiny = Tiny(case)
    optimizer = tiny.optimizer()
    for step in (1, 2):
        for parameter, gradient in zip(tiny.parameters.values(), tiny.aligned(), strict=True):
            parameter.grad = gradient
        optimizer.step()
        for name, parameter in tiny.parameters.items():
            expected = tiny.data[f"after_step{step}/{name}"]
            torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=case["tol"]["step_atol"])


@pytest.mark.parametrize("case", NETWORKS, ids=case_id)
def test_a_whole_network_gets_the_release_s_gradient(case: dict[str, Any]) -> None:
    golden = {key.split("/", 1)[1]: value for key, value in ARRAYS.items() if key.startswith(case["id"] + "/")}
    random = np.random.RandomState(int(golden["seed"]))
    images = torch.from_numpy(random.standard_normal((6, 3, 32, 32))).float()
    teacher = torch.from_numpy(3 * random.standard_normal((6, 100))).float()
    targets = torch.from_numpy(random.randint(0, 100, 6)).long()
    student, head = build("resnet8", num_classes=100).train(), auxiliary_head("linear", 64, 100)
    goldens.fill(student)
    goldens.fill(head, "fc2.")
    parameters = dict(student.named_parameters()) | {f"fc2.{key}": value for key, value in head.named_parameters()}
    assert set(parameters) == set(case["param_order"])

    passed = student.features(images)
    losses = [
        F.cross_entropy(passed.logits, targets),
        binary_kl_norm_loss(head(passed.pooled), teacher, temperature=2.0),
    ]
    assert [loss.item() for loss in losses] == pytest.approx(golden["loss"].tolist(), rel=1e-5)
    ordered = [parameters[name] for name in case["param_order"]]
    merged = dict(zip(case["param_order"], aligned_gradients(losses[0], losses[1:], ordered), strict=True))

    norms = torch.stack([gradient.norm() for gradient in merged.values()])
    expected = golden["merged_param_norms"]
    tolerance = case["tol"]["norm_atol_over_largest"] * expected.max().item()
    torch.testing.assert_close(norms, expected, rtol=0, atol=tolerance)
    for name, share in case["tol"]["merged_atol_over_largest"].items():
        expected = golden[f"merged/{name}"]
        torch.testing.assert_close(merged[name], expected, rtol=0, atol=share * expected.abs().max().item())


def linear_losses(gradients: list[list[float]]) -> tuple[list[Tensor], Tensor]:
    """Losses with just these gradients, over one parameter."""
    parameter = torch.zeros(len(gradients[0]), dtype=torch.float64, requires_grad=True)
    return [(parameter * torch.tensor(gradient, dtype=torch.float64)).sum() for gradient in gradients], parameter


NUMBERS = st.floats(-10, 10).map(lambda number: round(number, 3))


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_the_update_is_that_of_projecting_each_gradient_by_itself(size: int, count: int, data: st.DataObject) -> None:
    vector = st.lists(NUMBERS, min_size=size, max_size=size)
    gradients = data.draw(st.lists(vector, min_size=count, max_size=count))
    losses, parameter = linear_losses(gradients)
    found = aligned_gradients(losses[0], losses[1:], [parameter])[0].numpy()
    first, expected = np.array(gradients[0]), np.array(gradients[0])
    for gradient in map(np.array, gradients[1:]):
        conflict = min(0.0, gradient @ first) / (first @ first) if first.any() else 0.0
        expected = expected + gradient - conflict * first
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert (found - first) @ first >= -1e-9 * max(1.0, first @ first)  # nothing opposes the anchor


def test_gradients_that_agree_are_added() -> None:
    losses, parameter = linear_losses([[1.0, 0.0], [0.5, 2.0]])
    assert aligned_gradients(losses[0], losses[1:], [parameter])[0].tolist() == [1.5, 2.0]


def test_a_gradient_that_opposes_keeps_its_other_directions() -> None:
    losses, parameter = linear_losses([[2.0, 0.0], [-3.0, 5.0]])
    assert aligned_gradients(losses[0], losses[1:], [parameter])[0].tolist() == [2.0, 5.0]


def test_the_anchor_alone_is_its_own_gradient() -> None:
    losses, parameter = linear_losses([[1.0, -2.0]])
    assert aligned_gradients(losses[0], [], [parameter])[0].tolist() == [1.0, -2.0]


def test_an_anchor_without_gradient_divides_nothing_by_zero() -> None:
    losses, parameter = linear_losses([[0.0, 0.0], [-3.0, 5.0]])
    assert aligned_gradients(losses[0], losses[1:], [parameter])[0].tolist() == [-3.0, 5.0]


def test_parameters_that_no_loss_reaches_get_zeros() -> None:
    losses, parameter = linear_losses([[1.0], [2.0]])
    unused = torch.zeros(3, requires_grad=True)
    merged = aligned_gradients(losses[0], losses[1:], [unused, parameter])
    assert merged[0].tolist() == [0.0, 0.0, 0.0]
    assert merged[1].tolist() == [3.0]


def test_sums_taken_together_are_those_taken_apart() -> None:
    draws = torch.Generator().manual_seed(0)
    shapes = [(64,), (3, 5, 2, 2), (100,), (64,), (64, 7), (), (64,), (100,), (100,), (1,), (64,)]
    tensors = [torch.randn(shape, generator=draws) for shape in shapes]
    expected = [tensor.sum() for tensor in tensors]
    assert all(torch.equal(*pair) for pair in zip(sums(tensors), expected, strict=True))
