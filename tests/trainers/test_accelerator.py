"""What a process has of a GPU, and that one on a CPU is left alone."""

from __future__ import annotations

import torch

from trainers import accelerator
from trainers.contract.pretended_gpu import pretended


def test_a_gpu_without_a_number_is_the_thread_s_current_one() -> None:
    with pretended(2):
        assert accelerator.placed("cuda") == torch.device("cuda", 2)
        assert accelerator.placed("cuda:1") == torch.device("cuda", 1)
    assert accelerator.placed("cpu") == torch.device("cpu")
