"""What is put aside step by step comes to what each step would have counted."""

from __future__ import annotations

import pytest
import torch

from trainers.loop import tally
from trainers.loop.evaluate import correct_in_top
from trainers.loop.tally import Tally
from trainers.loop.weighing import Weighing

CPU = torch.device("cpu")


@pytest.mark.parametrize("kept", [1, 150, 1 << 20])
def test_losses_and_right_answers_do_not_depend_on_when_they_are_put_together(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "KEPT_NUMBERS", kept)
    draws = torch.Generator().manual_seed(0)
    found = Tally(Weighing({"ce": 0.5, "kd": 2.0}, CPU), CPU)
    correct, rows = torch.zeros(2, dtype=torch.int64), []
    for size in (4, 4, 4, 4, 3):
        logits = torch.randn(size, 10, generator=draws, requires_grad=True)
        targets = torch.randint(0, 10, (size,), generator=draws)
        ce, kd = torch.rand(2, generator=draws).requires_grad_()
        found.add({"ce": ce, "kd": kd}, logits, targets)
        correct += correct_in_top(logits, targets)
        rows.append(torch.stack([0.5 * ce + 2.0 * kd, ce, kd]).detach())
    records = found.records()
    assert found.names == ["loss", "ce", "kd"]
    assert torch.equal(records, torch.stack(rows))
    assert not records.requires_grad
    assert torch.equal(found.correct, correct)
