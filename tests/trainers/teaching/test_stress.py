"""Many processes fill one bank at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trainers.teaching.fill import CLASSES, EPOCHS, KILLED, PART_IMAGES, PROCESSES, VIEWS, addresses, truth
from trainers.teaching import logit_bank
from trainers.teaching.logit_bank import LogitBank


@pytest.mark.slow
def test_eight_processes_fill_one_bank_while_one_of_them_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "tests.trainers.teaching.fill", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    assert found["ends"] == [-signal.SIGKILL if number == KILLED else 0 for number in range(PROCESSES)]
    distinct = torch.cat([addresses(seed, epoch) for seed in (0, 1) for epoch in range(EPOCHS)]).unique()
    assert found["computed"] == len(distinct)  # none twice, although four processes ask for the same at any time
    monkeypatch.setattr(logit_bank, "PART_IMAGES", PART_IMAGES)
    shelf = LogitBank(tmp_path / "bank").shelf({}, views=VIEWS, classes=CLASSES, dtype=torch.float16)
    table = shelf.table(distinct, lambda positions: pytest.fail("the bank lacks entries"))
    assert torch.equal(table, truth(distinct).to(torch.float16))
