"""Draws by address: the same wherever and whenever they are made."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.draws import bits, derive, integers, order

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
SEEDS = st.integers(0, 2**40)
SAMPLES = st.lists(st.integers(0, 2**40), min_size=1, max_size=60, unique=True)


def splitmix64(value: int) -> int:
    """The published finaliser, in Python's unbounded integers."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def chi_square(counts: torch.Tensor) -> float:
    expected = counts.sum() / counts.numel()
    return ((counts - expected) ** 2 / expected).sum().item()


def test_the_reference_in_this_file_is_splitmix64() -> None:
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # of the generator seeded with 0
    assert [splitmix64(GOLDEN * step & MASK) for step in (1, 2, 3)] == published


@given(SEEDS, st.integers(0, 500), SAMPLES)
def test_bits_are_splitmix64_of_the_address(seed: int, epoch: int, samples: list[int]) -> None:
    start = derive(seed, "order", epoch)
    expected = [splitmix64(splitmix64((sample * GOLDEN + start) & MASK)) & (MASK >> 1) for sample in samples]
    assert bits(seed, "order", epoch, torch.tensor(samples)).tolist() == expected


@given(SEEDS, SAMPLES)
def test_a_draw_depends_on_its_address_only(seed: int, samples: list[int]) -> None:
    together = bits(seed, "flip", 3, torch.tensor(samples))
    alone = [bits(seed, "flip", 3, torch.tensor([sample])).item() for sample in samples]
    backwards = bits(seed, "flip", 3, torch.tensor(samples[::-1])).flip(0)
    assert together.tolist() == alone == backwards.tolist()
    assert (together >= 0).all()


def test_draws_leave_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    order(0, 1, torch.arange(50))
    integers(0, "flip", 1, torch.arange(50), 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_part_of_the_address_matters() -> None:
    samples = torch.arange(20)
    addresses = [(0, "flip", 1), (1, "flip", 1), (0, "order", 1), (0, "flip", 2)]
    drawn = [tuple(bits(*address, samples).tolist()) for address in addresses]
    assert len(set(drawn)) == len(addresses)
    assert len(set(drawn[0])) == len(samples)


def test_derived_seeds_differ_and_fit_torchs_generator() -> None:
    addresses = [(0, "model"), (0, "method"), (1, "model"), (0, "torch", 1), (0, "torch", 2), (0,), (0, 0), ("0",)]
    seeds = [derive(*address) for address in addresses]
    assert len(set(seeds)) == len(addresses)
    for seed in seeds:
        assert 0 <= seed < 2**63
        torch.Generator().manual_seed(seed)


@given(SEEDS, st.integers(1, 500), SAMPLES)
def test_order_is_a_permutation_of_the_positions(seed: int, epoch: int, samples: list[int]) -> None:
    drawn = order(seed, epoch, torch.tensor(samples))
    assert sorted(drawn.tolist()) == list(range(len(samples)))


@given(SEEDS, SAMPLES, st.data())
def test_two_samples_come_in_the_same_order_whatever_else_is_in_the_set(
    seed: int, samples: list[int], data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.sampled_from(samples), unique=True, min_size=1))
    whole = [samples[position] for position in order(seed, 1, torch.tensor(samples)).tolist()]
    part = [kept[position] for position in order(seed, 1, torch.tensor(kept)).tolist()]
    assert part == [sample for sample in whole if sample in set(kept)]


def test_epochs_and_seeds_are_ordered_differently() -> None:
    samples = torch.arange(100)
    drawn = {tuple(order(seed, epoch, samples).tolist()) for seed in range(5) for epoch in range(1, 6)}
    assert len(drawn) == 25


def test_integers_are_uniform() -> None:
    for purpose in ("crop-top", "crop-left", "flip"):
        for high in (2, 9):
            drawn = integers(3, purpose, 7, torch.arange(9000), high)
            assert drawn.min() >= 0
            assert drawn.max() < high
            assert chi_square(torch.bincount(drawn, minlength=high).double()) < 25  # p = 0.001 at 26.1 for high 9


def test_purposes_epochs_and_neighbours_are_independent() -> None:
    samples = torch.arange(9000)
    one = integers(3, "crop-top", 7, samples, 5)
    for other in (
        integers(3, "crop-left", 7, samples, 5),
        integers(3, "crop-top", 8, samples, 5),
        integers(4, "crop-top", 7, samples, 5),
        integers(3, "crop-top", 7, samples + 1, 5),
    ):
        assert chi_square(torch.bincount(one * 5 + other, minlength=25).double()) < 51  # p = 0.001 at 51.2


def test_first_place_of_the_order_is_uniform() -> None:
    samples = torch.arange(6)
    first = torch.tensor([order(seed, 1, samples)[0].item() for seed in range(1200)])
    assert chi_square(torch.bincount(first, minlength=6).double()) < 20.5  # p = 0.001
