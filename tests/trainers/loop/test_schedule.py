"""The learning rate at every step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.config import Recipe
from trainers.loop.schedule import learning_rate


@pytest.mark.parametrize(
    ("epoch", "lr"), [(1, 0.05), (150, 0.05), (151, 0.005), (180, 0.005), (181, 5e-4), (210, 5e-4), (211, 5e-5)]
)
def test_the_field_s_schedule_drops_after_its_milestones(epoch: int, lr: float) -> None:
    for step in (0, 5, 9):
        assert learning_rate(Recipe(), epoch, step, 10) == pytest.approx(lr)


def test_cosine_falls_at_every_step_from_the_peak_towards_zero() -> None:
    recipe = Recipe(epochs=4, schedule="cosine", lr=0.2)
    rates = [learning_rate(recipe, epoch, step, 5) for epoch in range(1, 5) for step in range(5)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[10] == pytest.approx(0.1)  # half of the way
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)
    assert 0 < rates[-1] < 0.2 * 0.01


@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
def test_warm_up_rises_evenly_to_the_peak(schedule: str) -> None:
    recipe = Recipe(epochs=10, schedule=schedule, lr=0.6, warmup_epochs=2)
    rates = [learning_rate(recipe, epoch, step, 3) for epoch in (1, 2) for step in range(3)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert learning_rate(recipe, 3, 0, 3) == pytest.approx(0.6)


def test_milestones_count_from_the_first_epoch_warm_up_included() -> None:
    recipe = Recipe(epochs=10, milestones=(3,), warmup_epochs=2, lr=1.0)
    assert [learning_rate(recipe, epoch, 0, 1) for epoch in range(1, 6)] == pytest.approx([0.5, 1.0, 1.0, 0.1, 0.1])


def rates(recipe: Recipe, steps: int) -> list[float]:
    """Of every step of a recipe."""
    return [learning_rate(recipe, epoch, step, steps) for epoch in range(1, recipe.epochs + 1) for step in range(steps)]


COSINE = Recipe(epochs=12, schedule="cosine", lr=0.004, min_lr=1e-5, warmup_epochs=3, warmup_start=0.01)
STEPS = 7
WARM, ALL = COSINE.warmup_epochs * STEPS, COSINE.epochs * STEPS


def test_cosine_to_a_floor_after_warm_up_is_timm_s_step_for_step() -> None:
    scheduling = pytest.importorskip("timm.scheduler")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=COSINE.lr)
    schedule = scheduling.CosineLRScheduler(
        optimizer,
        t_initial=ALL - WARM,
        lr_min=COSINE.min_lr,
        warmup_t=WARM,
        warmup_lr_init=0.01 * COSINE.lr,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    found = []
    for step in range(ALL):
        schedule.step_update(step)
        found.append(optimizer.param_groups[0]["lr"])
    assert rates(COSINE, STEPS) == pytest.approx(found, rel=1e-12)


def test_cosine_to_a_floor_after_warm_up_is_torch_s_step_for_step() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=COSINE.lr)
    warming = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=WARM)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ALL - WARM, eta_min=COSINE.min_lr)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warming, falling], [WARM])
    found = []
    for _ in range(ALL):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(COSINE, STEPS) == pytest.approx(found, rel=1e-9)


def test_a_warm_up_from_all_of_the_rate_is_none() -> None:
    recipe = Recipe(epochs=4, schedule="constant", lr=0.3, warmup_epochs=2, warmup_start=1)
    assert rates(recipe, 3) == pytest.approx([0.3] * 12)


@given(
    st.integers(1, 50),
    st.integers(1, 20),
    st.integers(0, 49),
    st.sampled_from(["step", "cosine", "constant"]),
    st.data(),
)
def test_the_rate_is_positive_and_never_above_the_peak(
    epochs: int, steps: int, warmup: int, schedule: str, data: st.DataObject
) -> None:
    recipe = Recipe(epochs=epochs, warmup_epochs=min(warmup, epochs - 1), schedule=schedule, lr=0.3)
    epoch, step = data.draw(st.integers(1, epochs)), data.draw(st.integers(0, steps - 1))
    assert 0 < learning_rate(recipe, epoch, step, steps) <= 0.3 * (1 + 1e-12)
