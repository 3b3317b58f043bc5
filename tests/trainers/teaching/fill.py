"""Eight processes fill one bank, and one of them kills itself in the middle of a part: run by `test_stress.py`.

Prints, as JSON, how each process ended and how many entries it computed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from trainers.teaching import bank_part, logit_bank
from trainers.teaching.logit_bank import LogitBank

PROCESSES, IMAGES, VIEWS, CLASSES, EPOCHS = 8, 2000, 18, 5, 6
PART_IMAGES = 100
"""Small enough for all to meet at every part."""
KILLED = 3
"""The process that kills itself, while it computes what its second claimed part lacks."""


def truth(address: Tensor) -> Tensor:
    return torch.sin(address[:, None].float() + torch.arange(CLASSES)) * 7


def addresses(seed: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * seed + epoch)
    drawn = torch.randint(VIEWS, (IMAGES,), generator=generator)
    return (torch.arange(IMAGES) * VIEWS + drawn)[torch.randperm(IMAGES, generator=generator)]


def fill(folder: Path, number: int, counts: Path) -> None:
    """What one trial does: processes 0 … 3 have one seed, 4 … 7 another."""
    shelf = LogitBank(folder, 10**9).shelf({}, views=VIEWS, classes=CLASSES, dtype=torch.float16)
    calls = 0
    while number != KILLED and not (counts.parent / f"count-{KILLED}").exists():
        time.sleep(0.001)  # on a busy machine it would else come when all is done
    for epoch in range(EPOCHS):
        address = addresses(number // 4, epoch)

        def compute(positions: Tensor, address: Tensor = address) -> Tensor:
            nonlocal calls
            calls += 1
            if number == KILLED and calls == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.005)
            with counts.open("a") as file:
                file.write(f"{len(positions)}\n")
            return truth(address[positions])

        if not torch.equal(shelf.table(address, compute), truth(address).to(torch.float16)):
            os._exit(3)
    os._exit(0)


def main(folder: Path) -> None:
    """Fork, wait, and report."""
    torch.set_num_threads(1)
    logit_bank.PART_IMAGES = PART_IMAGES
    bank_part.MOST_BLOCKS = 4
    children = {}
    for number in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            fill(folder / "bank", number, folder / f"count-{number}")
        children[pid] = number
    ends = {children[pid]: os.waitstatus_to_exitcode(status) for pid, status in (os.wait() for _ in children)}
    computed = [sum(map(int, path.read_text().split())) for path in folder.glob("count-*")]
    print(json.dumps({"ends": [ends[number] for number in range(PROCESSES)], "computed": sum(computed)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
