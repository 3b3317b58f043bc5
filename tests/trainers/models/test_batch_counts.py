"""Batch norms count on the host, and a network's state is what it was."""

from __future__ import annotations

import torch
from torch import nn

from trainers.contract.pretended_gpu import pretended
from trainers.models import build
from trainers.models.batch_counts import count_on_host


def test_a_pass_on_a_gpu_counts_on_the_host() -> None:
    plain = build("resnet8", num_classes=3).train()
    plain(torch.zeros(2, 3, 8, 8))
    expected = {name: value for name, value in plain.state_dict().items() if name.endswith("num_batches_tracked")}
    with pretended():
        network = build("resnet8", num_classes=3).to("cuda").train()
        names = list(network.state_dict())
        counts = count_on_host(network)
        network(torch.zeros(2, 3, 8, 8, device="cuda"))
        state = network.state_dict()
        assert len(counts) == len(expected) > 5
        assert not any(count.is_cuda for count in counts)
        assert all(state[name].is_cuda != name.endswith("num_batches_tracked") for name in state)
    assert list(state) == names
    assert {name: state[name].item() for name in expected} == dict.fromkeys(expected, 1)


def test_a_count_that_a_pass_reads_stays() -> None:
    with pretended():
        network = nn.Sequential(nn.BatchNorm1d(2, momentum=None), nn.BatchNorm1d(2, track_running_stats=False)).to(
            "cuda"
        )
        assert count_on_host(network) == []
        assert network.state_dict()["0.num_batches_tracked"].is_cuda
