"""How long a forward pass takes: what is timed, and how often; no test says how long that is."""

from __future__ import annotations

import pytest
import torch

from trainers.errors import InputError
from trainers.models.latency import BATCHES, FEWEST, LEAST, MOST, PATIENCE, _goes_on, latencies


def test_a_network_is_timed_for_one_image_and_for_many() -> None:
    found = latencies("resnet8", 10, (8, 8), seconds=0.05)
    assert tuple(one.batch for one in found) == BATCHES == (1, 64)
    for one in found:
        assert 0 < one.fastest <= one.milliseconds
        assert LEAST <= one.passes <= MOST
        assert (one.device, one.threads) == ("cpu", torch.get_num_threads())
    assert found[1].fastest > found[0].fastest, "64 images take longer than one"


@pytest.mark.parametrize(
    ("passes", "spent", "goes_on"),
    [
        (0, 99.0, True),
        (LEAST, PATIENCE + 0.1, False),
        (LEAST, PATIENCE - 0.1, True),
        (FEWEST - 1, 1.1, True),
        (FEWEST, 1.1, False),
        (FEWEST, 0.9, True),
        (MOST, 0.9, False),
    ],
)
def test_a_second_is_enough_for_twenty_passes_and_ten_for_fewer(passes: int, spent: float, goes_on: bool) -> None:
    assert _goes_on(passes, spent, 1.0) is goes_on


@pytest.mark.slow(1)
def test_a_network_that_costs_more_takes_longer() -> None:
    small, large = (latencies(name, 10, (16, 16), seconds=0.05)[1] for name in ("resnet8", "resnet110"))
    assert large.fastest > 2 * small.fastest  # 13 times the multiply-accumulates, in the same run


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="unknown model 'resnet9'"):
        latencies("resnet9", 10, (8, 8))
