"""Transformers of timm's as students and as teachers: every method trains them, or says what they lack."""

from __future__ import annotations

import pytest
import torch

from trainers.config import MethodConfig
from trainers.distillers import METHODS, Batch, Setting, View, build_distiller
from trainers.errors import InputError
from trainers.training import seeded_model

SIZE = (32, 32)
PAIRS = {
    "into a transformer": ("timm:test_resnet", "timm:test_vit"),
    "out of a transformer": ("timm:test_vit", "timm:test_resnet"),
    "between transformers": ("timm:test_vit", "timm:test_vit2"),
}
NO_MAP = (
    "reads the map in front of the average pooling, and a timm:test_vit2? has none: what its classifier reads is not"
)
NO_NORM = "the teacher, a timm:test_(vit|resnet), has no batch norm in front of each stage's last ReLU"
REFUSED = {
    "into a transformer": {"catkd": NO_MAP, "sdd": NO_MAP, "ofd": NO_NORM},
    "out of a transformer": {"catkd": NO_MAP, "sdd": NO_MAP, "simkd": NO_MAP, "ofd": NO_NORM},
    "between transformers": {"catkd": NO_MAP, "sdd": NO_MAP, "simkd": NO_MAP, "ofd": NO_NORM},
}
LABELS = torch.arange(20) % 10


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_it_trains_or_says_why_not(pair: str, name: str) -> None:
    teacher, student = (seeded_model(model, 10, seed=seed) for seed, model in enumerate(PAIRS[pair]))
    setting = Setting(10, SIZE, teacher.eval(), torch.arange(20), LABELS)
    if why := REFUSED[pair].get(name):
        with pytest.raises(InputError, match=why):
            build_distiller(MethodConfig(name=name), student, setting)
        return
    distiller = build_distiller(MethodConfig(name=name), student, setting).train()
    images = torch.randn(2, 6, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        seen = [View(some, teacher.features(some)) for some in images]
    batch = Batch(images[0], LABELS[:6], torch.arange(6), 30, seen[0].teacher, seen[1])
    distiller.at(30)
    terms, weights = distiller.losses(batch).terms, distiller.weights(30)
    torch.stack([weights[term] * value for term, value in terms.items()]).sum().backward()
    assert all(value.isfinite() for value in terms.values())
    reached = [parameter.grad for parameter in student.parameters() if parameter.grad is not None]
    assert reached
    assert all(gradient.isfinite().all() for gradient in reached)
