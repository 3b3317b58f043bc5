"""Which batch norms are folded, and what that does to the logits: the same on every device, TF32 or not."""

from __future__ import annotations

import copy

import torch
from torch import nn

from benchmarks.common import at_most
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.material import size, teacher_of
from trainers.accelerator import computing
from trainers.models import Network
from trainers.teaching.folding import folded

TEACHERS = ("resnet56", "resnet110", "resnet32x4", "wrn_40_2", "vgg13")
IMAGES = 64
ROUNDING = {False: at_most(1e-4), True: at_most(2e-2)}
"""Of logits, as a share of the largest, without TF32 and with it."""


def run(asked: Asked) -> None:
    """Fold some teachers on the device, with TF32 and without."""
    how = size(asked)
    images = torch.randn(IMAGES, 3, how.side, how.side, generator=torch.Generator().manual_seed(1))
    for name in ("resnet14",) if asked.quick else TEACHERS:
        with asked.trying(name):
            teacher = teacher_of(name, asked)
            with torch.no_grad():
                exact = teacher(images)
            here = norms(folded(teacher, (how.side, how.side)))
            there = copy.deepcopy(teacher).to(asked.device)
            for tf32 in (False, True):
                computing(torch.device(asked.device), tf32=tf32, deterministic=False)
                made = folded(there, (how.side, how.side))
                with torch.no_grad():
                    logits = made(images.to(asked.device)).cpu()
                off = float((logits - exact).abs().max() / exact.abs().max())
                word = "TF32" if tf32 else "fp32"
                left = norms(made)
                asked.check(f"{name}, {word}: norms left, beside the CPU's", abs(left - here), at_most(0), left=left)
                asked.check(f"{name}, {word}: logits off by, of the largest", off, ROUNDING[tf32], norms=norms(teacher))


def norms(network: Network) -> int:
    """How many batch norms it has."""
    return sum(type(module) is nn.BatchNorm2d for module in network.modules())
