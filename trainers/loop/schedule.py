"""The learning rate at every step of a recipe."""

from __future__ import annotations

import math

from trainers.config import Recipe


def learning_rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Learning rate of one step.

    Args:
        recipe: gives peak, schedule and warm-up.
        epoch: counted from 1.
        step: counted from 0 within the epoch.
        steps: steps of an epoch.
    """
    passed = epoch - 1 + step / steps  # epochs done before this step
    if passed < recipe.warmup_epochs:
        return recipe.lr * (passed + 1 / steps) / recipe.warmup_epochs
    if recipe.schedule == "step":
        return recipe.lr * recipe.lr_decay ** sum(epoch > milestone for milestone in recipe.milestones)
    if recipe.schedule == "cosine":
        share = (passed - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
        return recipe.lr * (1 + math.cos(math.pi * share)) / 2
    return recipe.lr
