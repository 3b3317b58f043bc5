"""A trial's weights after some epochs are those of a plain loop over the same batches: torch's optimiser and losses,
timm's schedule."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from tests.trainers.examples import small_trial
from trainers.data import DATASETS, ImageData
from trainers.loop.clock import Clock
from trainers.material import Material
from trainers.teaching.chunks import Preparation, Pupil
from trainers.teaching.lesson import NoTeacher
from trainers.training import Training

EPOCHS = 4
WHOLE: dict[str, Any] = {
    "epochs": EPOCHS,
    "schedule": "cosine",
    "lr": 0.01,
    "min_lr": 1e-4,
    "warmup_epochs": 1,
    "warmup_start": 0.1,
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "clip_norm": 0.5,
}


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return DATASETS["digits"](image_size=8).load()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_whole_recipe_is_torch_s_and_timm_s_step_for_step(digits: ImageData, optimizer: str) -> None:
    scheduling = pytest.importorskip("timm.scheduler")
    config = small_trial(optimizer=optimizer, **WHOLE)
    material = Material.of(config.recipe, digits, "cpu")
    training = Training(config, material)
    plain = copy.deepcopy(training.distiller.student)
    kind: Any = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    options = {"momentum": 0.9} if optimizer == "sgd" else {}
    stepping = kind(plain.parameters(), lr=0.01, weight_decay=0.05, fused=True, **options)
    preparation = Preparation(config.recipe, 0, material.train, material.views, (Pupil(NoTeacher(), False),))
    schedule = scheduling.CosineLRScheduler(
        stepping, t_initial=9, lr_min=1e-4, warmup_t=3, warmup_lr_init=1e-3, warmup_prefix=True, t_in_epochs=False
    )
    taken = 0
    for epoch in training.remaining():
        training.begin(epoch)
        plain.train()
        for (batch,) in preparation.batches(training.parts, epoch):
            training.step(batch)
            schedule.step_update(taken)
            stepping.zero_grad()
            F.cross_entropy(plain(batch.images), batch.targets, label_smoothing=0.1).backward()
            clip_grad_norm_(plain.parameters(), 0.5)
            stepping.step()
            taken += 1
        with Clock() as clock:
            training.end(clock, 0)
    assert taken == 3 * EPOCHS
    for one, other in zip(training.distiller.student.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
