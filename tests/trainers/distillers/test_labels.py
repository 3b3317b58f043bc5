"""The loss with the labels is timm's, smoothed or not, mixed or not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainers.distillers.labels import LabelReading, Partners, label_loss

CLASSES = 7


def drawn() -> tuple[torch.Tensor, torch.Tensor, Partners]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, CLASSES, generator=generator, dtype=torch.float64)
    targets, others = torch.randint(0, CLASSES, (2, 5), generator=generator)
    return logits, targets, Partners(others, torch.tensor([0.0, 1.0, 0.5, 0.85, 0.1], dtype=torch.float64))


def timm_s_labels(targets: torch.Tensor, partners: Partners | None, smoothing: float) -> torch.Tensor:
    def one_hot(labels: torch.Tensor) -> torch.Tensor:
        off = smoothing / CLASSES
        rows = torch.full((len(labels), CLASSES), off, dtype=torch.float64)
        return rows.scatter_(1, labels[:, None], 1 - smoothing + off)

    if partners is None:
        return one_hot(targets)
    share = partners.share[:, None]
    return share * one_hot(targets) + (1 - share) * one_hot(partners.targets)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_it_is_timm_s(smoothing: float, mixed: bool, binary: bool) -> None:
    losses: Any = pytest.importorskip("timm.loss")
    logits, targets, partners = drawn()
    given = partners if mixed else None
    theirs = (
        losses.BinaryCrossEntropy(smoothing=0.0, target_threshold=0.2) if binary else losses.SoftTargetCrossEntropy()
    )
    expected = theirs(logits, timm_s_labels(targets, given, smoothing))
    found = label_loss(logits, targets, LabelReading(smoothing, binary), given)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
