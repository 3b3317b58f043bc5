"""How many batches each batch norm has seen, counted where it costs a GPU nothing.

A batch norm adds one to a number in each pass: a kernel each, a tenth of all of a small network's forward pass, though
no pass reads it where the running statistics have a fixed momentum.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def count_on_host(network: nn.Module) -> list[Tensor]:
    """Move the counts of all batch norms within `network` that no pass reads into the host's memory, in place.

    Names, values and order of the network's state are what they were.

    Returns:
        The counts, int64 scalars on the CPU.
    """
    norms = [norm for norm in network.modules() if isinstance(norm, _BatchNorm) and norm.momentum is not None]
    counts = []
    for norm in norms:
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.cpu()
            counts.append(norm.num_batches_tracked)
    return counts
