"""What the paper claims of its loss."""

from __future__ import annotations

import torch
from my_losses import mykd


def test_equal_logits_cost_nothing() -> None:
    logits = torch.randn(5, 10)
    assert mykd(logits, logits, torch.zeros(5, dtype=torch.long)) == 0


def test_it_grows_with_beta() -> None:
    student, teacher, targets = torch.randn(5, 10), torch.randn(5, 10), torch.arange(5)
    one, three = (mykd(student, teacher, targets, beta=beta) for beta in (1.0, 3.0))
    torch.testing.assert_close(three, 3 * one)
