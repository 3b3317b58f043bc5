"""What a process makes of its neighbours' sums, with a neighbour that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainers.loop.data_parallel import Group, SyncBatchNorm

Neighbours = Callable[[Callable[[Tensor], Tensor]], None]


@pytest.fixture
def neighbours(monkeypatch: pytest.MonkeyPatch) -> Neighbours:
    """Lets the other processes add to every sum what a function makes of this one's part."""

    def told(theirs: Callable[[Tensor], Tensor]) -> None:
        monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.add_(theirs(tensor.clone())))

    return told


@pytest.mark.parametrize("size", [2, 3, 5])
def test_statistics_become_the_mean_of_all_processes(neighbours: Neighbours, size: int) -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm1d(2))
    own = [[1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0]]
    norms = [network[0], network[2], network[3]]
    for norm, mean in zip(norms, own, strict=True):
        norm.running_mean.copy_(torch.tensor(mean))
        norm.running_var.copy_(torch.tensor(mean) + 10)
    weights = network[1].weight.detach().clone()
    neighbours(lambda mine: torch.full_like(mine, 20.0 * (size - 1)))  # each of them holds 20 everywhere
    Group(0, size).average_statistics(network)
    for norm, mean in zip(norms, own, strict=True):
        torch.testing.assert_close(norm.running_mean, (torch.tensor(mean) + 20 * (size - 1)) / size)
        torch.testing.assert_close(norm.running_var, (torch.tensor(mean) + 10 + 20 * (size - 1)) / size)
    assert torch.equal(network[1].weight, weights)


def test_equal_statistics_stay_what_they_are(neighbours: Neighbours) -> None:
    norm = nn.BatchNorm2d(2)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    neighbours(lambda mine: 2 * mine)
    Group(1, 3).average_statistics(norm)
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.running_var.tolist() == [1, 1]


def test_sums_of_many_tensors_are_the_sums_of_each(neighbours: Neighbours) -> None:
    tensors = [torch.ones(2, 3), None, torch.tensor(5.0), torch.arange(4.0)]
    neighbours(lambda mine: 10 * mine)
    Group(0, 2).sum_all(tensors)
    expected = [torch.full((2, 3), 11.0), torch.tensor(55.0), 11 * torch.arange(4.0)]
    for found, wanted in zip((tensor for tensor in tensors if tensor is not None), expected, strict=True):
        assert torch.equal(found, wanted)


def test_a_share_is_normalised_by_the_statistics_of_the_whole_batch(neighbours: Neighbours) -> None:
    """A neighbour with the same images: the whole batch is these twice over."""
    neighbours(lambda mine: mine)
    images = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
    ours, plain = SyncBatchNorm(2), nn.BatchNorm2d(2)
    share, whole = images.clone().requires_grad_(), torch.cat([images, images]).requires_grad_()
    out, expected = ours(share), plain(whole)
    torch.testing.assert_close(out, expected[:3], rtol=1e-4, atol=1e-5)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(ours.get_buffer(name), plain.get_buffer(name), rtol=1e-4, atol=1e-5)
    slope = torch.arange(96.0).view(3, 2, 4, 4).square()
    (out * slope).sum().backward()
    (expected * torch.cat([slope, slope])).sum().backward()
    assert share.grad is not None
    assert whole.grad is not None
    torch.testing.assert_close(share.grad, whole.grad[:3], rtol=1e-3, atol=1e-1)
