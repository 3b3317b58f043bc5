"""One trial on several processes: each trains on its share of every batch, all take the same step.

Batches, views and the learning rate are those of one process: the global batch is what the recipe says, whatever the
number of workers. A worker's gradient is weighed by its share of the batch and summed over the workers, so a loss that
is a mean over images has the gradient of the whole batch. Losses that compare the images of a batch with each other
(RKD, SP, DIST's intra-class term, …) compare those of a share.

Batch norms take their statistics over the whole batch (`sync_batch_norm`, the recipe's default), or over each share, as
plain data-parallel training does.

Torch's process group is made by whoever starts the processes.

Shapes: `B` batch, `C` channels, `H`, `W` pixels of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainers.errors import InputError

if TYPE_CHECKING:
    from trainers.config import TrialConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes that train one trial."""

    rank: int = 0
    """This process's number."""
    size: int = 1
    """How many there are."""

    @classmethod
    def joined(cls) -> Group:
        """The whole of torch's process group, which this process has joined."""
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process writes what is kept."""
        return self.rank == 0

    @property
    def fewest(self) -> int:
        """Images that a batch must have: two for each process, which batch norm needs."""
        return 2 * self.size

    def share(self, positions: Tensor) -> Tensor:
        """This process's part of a batch's positions ``[B]``: of nearly the same length for all."""
        return positions.tensor_split(self.size)[self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes of a tensor of any shape, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_all(self, tensors: Sequence[Tensor | None]) -> None:
        """Sum tensors of any shapes over all processes, in place, in one message; all hold the same ones, or None."""
        held = [tensor for tensor in tensors if tensor is not None]
        if self.size == 1 or not held:
            return
        summed = self.sum(torch.cat([tensor.reshape(-1) for tensor in held]))
        for tensor, part in zip(held, torch.split(summed, [tensor.numel() for tensor in held]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def told(self, find: Callable[[], T]) -> T:
        """What the leading process finds."""
        if self.size == 1:
            return find()
        message: list[Any] = [find() if self.leads else None]
        dist.broadcast_object_list(message)
        answer: T = message[0]
        return answer

    def average_statistics(self, module: nn.Module) -> None:
        """Batch norms' running statistics, each process's own, become their mean."""
        norms = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
        statistics = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
        self.sum_all(statistics)
        for buffer in statistics:
            if buffer is not None and self.size > 1:
                buffer.div_(self.size)


ALONE = Group()
"""One process."""


def refuse_workers(config: TrialConfig) -> None:
    """Raises InputError where a trial cannot be trained by several processes."""
    from trainers.distillers import METHODS

    if METHODS[config.method.name].remembers_images:
        raise InputError(
            f"method '{config.method.name}' keeps a memory of every training image, which several workers would fill"
            " apart; compute.workers must be 1"
        )
    if config.recipe.compile:
        raise InputError("a compiled student trains on one worker: leave out recipe.compile, or compute.workers")


class _Sum(torch.autograd.Function):
    """Over all processes, forward and backward."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        summed = tensor.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of the whole batch of all processes, on any device; torch's own needs a GPU.

    Of maps ``[B, C, H, W]`` and of features ``[B, C]``, as torch's is. Statistics in two messages, mean first, since a
    difference of sums of squares would lose digits. Evaluation is plain batch norm, and so are names and contents of
    its state.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[B, C, ...]``, this process's share, to the same shape."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        others = [dim for dim in range(values.dim()) if dim != 1]
        shape = [-1 if dim == 1 else 1 for dim in range(values.dim())]
        count = _sum(values.new_tensor(float(values.numel() // values.shape[1])))
        mean = _sum(values.sum(dim=others)) / count
        centred = values - mean.view(shape)
        variance = _sum(centred.square().sum(dim=others)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normed = centred * scale.view(shape) + self.bias.view(shape)
        return normed if normed.dtype == input.dtype else normed.to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions goes, as with torch's own."""

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _sum(tensor: Tensor) -> Tensor:
    """Over all processes, with a gradient."""
    summed: Tensor = _Sum.apply(tensor)
    return summed


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
"""Of features, as in DHKD's nonlinear head, and of maps."""


def synchronised(module: nn.Module) -> None:
    """Let every batch norm within `module` see the whole batch, in place: torch's own on a GPU, ours elsewhere."""
    for name, child in module.named_children():
        if isinstance(child, BATCH_NORMS) and not isinstance(child, SyncBatchNorm):
            setattr(module, name, _synchronised(child))
        else:
            synchronised(child)


def _synchronised(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    if norm.weight.is_cuda:
        made: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(norm)  # type: ignore[no-untyped-call]
        return made
    ours = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
    ours.load_state_dict(norm.state_dict())
    ours.weight, ours.bias = norm.weight, norm.bias
    return ours.train(norm.training)
