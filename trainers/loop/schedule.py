"""The learning rate at every step of a recipe."""

from __future__ import annotations

import math

from trainers.config import Recipe


def learning_rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Learning rate of one step.

    Args:
        recipe: gives peak, floor, schedule and warm-up.
        epoch: counted from 1.
        step: counted from 0 within the epoch.
        steps: steps of an epoch.
    """
    passed = epoch - 1 + step / steps  # epochs done before this step
    if passed < recipe.warmup_epochs:
        return _warming(recipe, passed, steps)
    if recipe.schedule == "step":
        return recipe.lr * recipe.lr_decay ** sum(epoch > milestone for milestone in recipe.milestones)
    if recipe.schedule == "cosine":
        share = (passed - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
        return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * share)) / 2
    return recipe.lr


def _warming(recipe: Recipe, passed: float, steps: int) -> float:
    """Learning rate of a step of the warm-up, before which so many epochs are done."""
    if recipe.warmup_start is None:
        return recipe.lr * (passed + 1 / steps) / recipe.warmup_epochs
    start = recipe.warmup_start * recipe.lr
    return start + (recipe.lr - start) * passed / recipe.warmup_epochs
