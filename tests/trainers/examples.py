"""Trials that take a blink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.contract.training import finished as finish
from trainers.data.base import ImageData
from trainers.fit import fit
from trainers.models import Network
from trainers.storage.content import tensors_key

__all__ = ["finish", "goes_on_as_if_never_stopped", "small_recipe", "small_trial"]


def small_recipe(**changes: Any) -> Recipe:
    """Three epochs of three steps (32, 32 and 16 images)."""
    fields: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 32,
        "schedule": "constant",
        "pad": 1,
        "flip": False,
        "val_fraction": 0.1,
        "samples_per_class": 8,
    }
    return Recipe(**(fields | changes))


def small_trial(
    method: str = "scratch", params: dict[str, Any] | None = None, *, seed: int = 0, **recipe: Any
) -> TrialConfig:
    """A resnet8 on the digits, with :func:`small_recipe`."""
    return TrialConfig(
        dataset=DatasetConfig(name="digits", options={"image_size": 8}),
        model="resnet8",
        teacher=None if method == "scratch" else TeacherConfig(architecture="resnet14", hash="0123456789abcdef"),
        method=MethodConfig(name=method, params=params or {}),
        recipe=small_recipe(**recipe),
        seed=seed,
    )


def goes_on_as_if_never_stopped(config: TrialConfig, data: ImageData, teacher: Network, folder: Path) -> None:
    """Stop a trial after every epoch, with its folder: results and student are those of one that ran through."""
    given = teacher if config.teacher else None
    whole, student = finish(fit(config, data=data, teacher=given))
    for done in range(config.recipe.epochs):
        running = fit(config, data=data, teacher=given, folder=folder)
        assert [next(running) for _ in range(done + 1)] == whole[: done + 1]
    again, same = finish(fit(config, data=data, teacher=given, folder=folder))
    assert again == whole
    assert tensors_key(same.state_dict()) == tensors_key(student.state_dict())
