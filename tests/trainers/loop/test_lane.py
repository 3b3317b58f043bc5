"""What a trial has of its own in a process that trains several."""

from __future__ import annotations

import torch

from trainers.distillers import Batch, View
from trainers.loop.lane import Lane, changed
from trainers.models import Features

CPU = torch.device("cpu")


def drawn(seed: int, count: int) -> list[float]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.rand(count).tolist()


def test_each_draws_as_if_no_one_else_did() -> None:
    with torch.random.fork_rng(devices=[]):
        lanes, found = [Lane(CPU), Lane(CPU)], [[], []]  # type: ignore[var-annotated]
        for seed, lane in enumerate(lanes):
            with lane.own():
                torch.manual_seed(seed)
        for _ in range(3):
            for lane, its in zip(lanes, found, strict=True):
                with lane.own():
                    its.append(torch.rand(1).item())
            torch.rand(5)
    assert found == [drawn(0, 3), drawn(1, 3)]


def test_what_was_drawn_before_an_error_stays_drawn() -> None:
    with torch.random.fork_rng(devices=[]):
        lane = Lane(CPU)
        try:
            with lane.own():
                torch.manual_seed(7)
                torch.rand(2)
                raise ValueError
        except ValueError:
            pass
        with lane.own():
            assert torch.rand(1).tolist() == drawn(7, 3)[2:]


def passed() -> Features:
    stages, preactivations = [(torch.ones(2, 3, 4, 4), torch.ones(2, 5, 2, 2)) for _ in range(2)]
    return Features(torch.ones(2, 7), torch.ones(2, 5), stages, preactivations, torch.ones(2, 5, 2, 2))


def test_every_tensor_of_a_batch_is_reached_once_and_the_batch_stays_as_it_is() -> None:
    images, targets = torch.ones(2, 3, 8, 8), torch.ones(2, dtype=torch.int64)
    batch = Batch(images, targets, targets.clone(), 1, passed(), View(images.clone(), passed()))
    seen: list[torch.Tensor] = []

    def doubled(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tensor)
        return tensor * 2

    other = changed(batch, doubled)
    assert len(seen) == len(set(map(id, seen))) == 3 + 7 + 1 + 7
    assert other.epoch == 1
    assert other.strong is not None and other.teacher is not None
    assert other.strong.teacher is not None
    for twice in (other.images, other.teacher.stages[1], other.strong.images, other.strong.teacher.unpooled):
        assert twice.unique().tolist() == [2]
    assert all(tensor.unique().tolist() == [1] for tensor in seen)


def test_what_a_batch_lacks_stays_lacking() -> None:
    targets = torch.ones(2, dtype=torch.int64)
    other = changed(Batch(torch.ones(2, 3, 8, 8), targets, targets, 1), torch.clone)
    assert (other.teacher, other.strong) == (None, None)
