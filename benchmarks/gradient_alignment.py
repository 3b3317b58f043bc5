"""Gradient alignment of one training step, against the way DHKD's release does it.

    uv run python -m benchmarks.gradient_alignment

The release's way: for each loss set the gradients to None, run a backward pass, and copy all gradients, zeros for those
that are missing, into one vector; project and sum the vectors; cut the sum back into gradients. Both run in this
process, in turns, on the same graph; the figure is the median of the paired ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers import binary_kl_norm_loss
from trainers.loop.gradient_alignment import aligned_gradients
from trainers.models import auxiliary_head, build

Losses = Callable[[], tuple[Tensor, Tensor]]


def main() -> None:
    """Print one line per architecture: milliseconds of both ways and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet8", "resnet20", "wrn_16_2", "ShuffleV2"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    print("forward and aligned gradients of one batch; milliseconds, medians")
    for name in options.models:
        ours, theirs = measured(name, options.batch, options.repeats, options.device)
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        times = f"{statistics.median(ours):7.1f} here, {statistics.median(theirs):7.1f} the release's way"
        print(f"{name:10} {times}: {ratio:.2f} times as fast")


def measured(name: str, batch: int, repeats: int, device: str) -> tuple[list[float], list[float]]:
    """Milliseconds of each step, here and the release's way, in turns; a first one of each is not counted."""
    losses, parameters = problem(name, batch, device)
    ours, theirs = [], []
    for _ in range(repeats + 1):
        ours.append(timed(lambda: aligned_gradients(*parted(losses()), parameters), device))
        theirs.append(timed(lambda: flat_aligned(losses(), parameters), device))
    return ours[1:], theirs[1:]


def problem(name: str, batch: int, device: str) -> tuple[Losses, list[nn.Parameter]]:
    """The two losses of DHKD on random images, and the parameters of student and auxiliary head."""
    student = build(name, num_classes=100).to(device).train()
    head = auxiliary_head("linear", student.feature_dim, 100).to(device)
    images, teacher = torch.randn(batch, 3, 32, 32, device=device), 3 * torch.randn(batch, 100, device=device)
    targets = torch.randint(0, 100, (batch,), device=device)

    def losses() -> tuple[Tensor, Tensor]:
        passed = student.features(images)
        return F.cross_entropy(passed.logits, targets), binary_kl_norm_loss(head(passed.pooled), teacher)

    return losses, [*student.parameters(), *head.parameters()]


def parted(losses: tuple[Tensor, Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The anchor, and the other losses."""
    return losses[0], [losses[1]]


def flat_aligned(losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
    """The release's way; leaves the result in each parameter's `grad`."""
    vectors = []
    for loss in losses:
        for parameter in parameters:
            parameter.grad = None
        loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
        vectors.append(torch.cat([piece.flatten() for piece in pieces]))
    anchor, other = vectors
    dot = torch.dot(other, anchor)
    if dot < 0:
        other = other - dot / anchor.norm() ** 2 * anchor
    total, start = anchor + other, 0
    for parameter in parameters:
        parameter.grad = total[start : start + parameter.numel()].view_as(parameter).clone()
        start += parameter.numel()


def timed(work: Callable[[], object], device: str) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.accelerator.synchronize()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
