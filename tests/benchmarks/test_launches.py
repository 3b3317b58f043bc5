"""What a step asks a GPU for stays within bounds, for a method of each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks.launches import Case, as_on_a_gpu, case, counted, handed_over, noise, outside, step, taught_by
from trainers.fit import fit

BOUNDS: dict[str, tuple[Case, float]] = {
    "kd": (case("kd"), 100),
    "dhkd nonlinear": (case("dhkd", head="nonlinear"), 150),
    "dhkd aligned": (case("dhkd", head="nonlinear", align=True), 240),
    "sld": (case("sld"), 311),
    "sld, the student's own swapped logits": (case("sld", start=0), 363),
    "mlkd": (case("mlkd"), 320),
}
"""Launches of a step with its part of a chunk."""


@pytest.mark.slow(2)
@pytest.mark.parametrize(("asked", "most"), BOUNDS.values(), ids=BOUNDS)
def test_a_step_asks_for_few_kernels_and_never_waits(asked: Case, most: float) -> None:
    found = step(asked, taught_by("resnet8"))
    assert found.launches <= most
    assert found.count.waits.total() == 0


COMPILED: dict[str, tuple[Case, int]] = {
    "kd": (case("kd"), 6),
    "sld": (case("sld"), 8),
    "crd": (case("crd"), 6),
    "dhkd aligned": (case("dhkd", head="nonlinear", align=True), 5),
}
"""Launches of a compiled step outside its graphs."""


@pytest.mark.slow(30)
@pytest.mark.parametrize(("asked", "most"), COMPILED.values(), ids=COMPILED)
def test_a_compiled_step_asks_for_next_to_nothing_outside_its_graphs(asked: Case, most: int) -> None:
    found = outside(asked, taught_by("resnet8"))
    assert found.launches.total() <= most
    assert found.graphs == (4 if "dhkd" in asked.method else 2)  # forward, and backward for each objective; merging


@pytest.mark.slow(30)
@pytest.mark.parametrize("asked", [case("kd"), case("dhkd", align=True)], ids=["kd", "dhkd aligned"])
def test_a_compiled_step_computes_what_a_plain_one_does(asked: Case) -> None:
    teacher, data = taught_by("resnet8"), noise(3 * asked.batch + 5, asked.side)  # the last batch is a small one
    plain = list(fit(asked.config(data), data=data, teacher=teacher))
    with handed_over() as ran, as_on_a_gpu():
        compiled = list(fit(replace(asked, recipe={"compile": True}).config(data), data=data, teacher=teacher))
    assert ran
    for ours, theirs in zip(compiled, plain, strict=True):
        assert ours.terms == pytest.approx(theirs.terms, rel=1e-4)
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)


WAITS: dict[str, Callable[[Tensor], object]] = {
    "reads a number": lambda x: x.sum().item(),
    "decides by one": lambda x: bool(x.sum() > 0),
    "picks by a mask": lambda x: x[x > 0],
    "takes numbers along": lambda x: torch.tensor([1.0], device=x.device),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_what_the_host_would_wait_for_is_counted(wait: Callable[[Tensor], object]) -> None:
    x = torch.ones(3)
    with counted() as count:
        wait(x)
    assert count.waits.total() == 1


def test_views_are_no_kernels_and_a_convolution_s_gradient_is_two() -> None:
    x, weight = torch.ones(1, 2, 4, 4, requires_grad=True), torch.ones(2, 2, 1, 1, requires_grad=True)
    with counted() as count:
        y = torch.nn.functional.conv2d(x, weight).flatten(1)[:, :3].sum()
        y.backward()  # type: ignore[no-untyped-call]
    assert count.launches["convolution"] == 1
    assert count.launches["convolution_backward"] == 2
    assert count.waits.total() == 0
    assert not {"view", "slice", "expand"} & (+count.launches).keys()
