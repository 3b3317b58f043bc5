"""A trial that trains an epoch each time a line is written to it, and answers with how many images that were.

python -m benchmarks.gpu.beside DEVICE BANK EPOCHS [--quick]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from benchmarks.gpu.asked import Asked
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.material import DHKD, epochs, size, some_data, teacher_of, trial
from trainers.config import TrialConfig
from trainers.teaching.logit_bank import LogitBank


def config(asked: Asked, count: int) -> TrialConfig:
    """What each of them trains."""
    how = size(asked)
    return trial(how.pair, "dhkd", DHKD, batch=how.batch, epochs=count, precision="bf16")


def main() -> None:
    """Train until nothing more is asked for."""
    torch.set_num_threads(1)
    device, bank, count, *quick = sys.argv[1:]
    asked = Asked("beside", Findings(Path("/dev/null")), device, bool(quick))
    data, teacher = some_data(asked), teacher_of(size(asked).pair.teacher, asked)
    running = epochs(config(asked, int(count)), data, teacher, device, LogitBank(Path(bank)))
    next(running)
    print(len(data.train), flush=True)
    for _ in sys.stdin:
        next(running)
        print(len(data.train), flush=True)


if __name__ == "__main__":
    main()
