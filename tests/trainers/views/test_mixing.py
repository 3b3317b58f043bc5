"""mixup and CutMix: what the images, their shares and their draws are."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from trainers.views.mixing import Mixed, beta, mixed

MANY = 4000
OWN, PARTNERS = torch.zeros(MANY, 3, 12, 10), torch.ones(MANY, 3, 12, 10)
INDEX = torch.arange(MANY) * 7


def of(mixup: float, cutmix: float, *, seed: int = 0, epoch: int = 1) -> Mixed:
    """Images whose pixels say which share of them is the partner's."""
    return mixed(OWN, PARTNERS, INDEX, seed, epoch, mixup=mixup, cutmix=cutmix)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.8, 1.0, 2.0, 30.0])
def test_quantiles_are_those_of_the_distribution(alpha: float) -> None:
    unit = torch.cat([torch.linspace(0, 1, 2001, dtype=torch.float64)[:-1], torch.tensor([0.5])])
    expected = torch.from_numpy(stats.beta.ppf(unit.numpy(), alpha, alpha))
    torch.testing.assert_close(beta(unit, alpha), expected, rtol=1e-4, atol=1e-6)


def test_mixup_is_a_sum_by_the_share_that_counts() -> None:
    images, share = of(0.8, 0)
    assert images.dtype == share.dtype == torch.float32
    torch.testing.assert_close(images, (1 - share)[:, None, None, None].expand_as(images))
    assert stats.kstest(share.numpy(), stats.beta(0.8, 0.8).cdf).pvalue > 0.01


def test_cutmix_puts_a_box_of_the_partner_into_the_image() -> None:
    images, share = of(0, 1.0)
    assert set(images.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(share, 1 - images.mean(dim=(1, 2, 3)))
    assert torch.equal(images[:, 0], images[:, 1])
    rows, columns = images[:, 0].amax(2).sum(1), images[:, 0].amax(1).sum(1)
    torch.testing.assert_close(images[:, 0].sum(dim=(1, 2)), rows * columns)  # one box
    whole = (rows > 0) & (rows < 12) & (columns > 0) & (columns < 10)
    # in the image's form, but for the cut at the border and whole pixels
    assert (rows / columns)[whole].median().item() == pytest.approx(1.2, abs=0.25)
    assert 0.55 < share.mean() < 0.75  # 0.5 if no box were cut off at the border


def test_with_both_each_image_gets_one_at_even_odds() -> None:
    both, (cut, share), (summed, other) = of(0.8, 1.0), of(0, 1.0), of(0.8, 0)
    is_cut = (both.images == cut).flatten(1).all(1)
    is_summed = (both.images == summed).flatten(1).all(1)
    assert bool((is_cut | is_summed).all())
    assert is_cut.float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert torch.equal(both.share, torch.where(is_cut, share, other))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0), (0, 1), (0.8, 1)])
def test_an_image_s_mixture_is_the_same_in_any_company(mixup: float, cutmix: float) -> None:
    images = torch.randn(40, 3, 12, 10)
    order = torch.randperm(40)
    whole = mixed(images, images.flip(0), INDEX[:40], 3, 2, mixup=mixup, cutmix=cutmix)
    other = mixed(images[order], images.flip(0)[order], INDEX[:40][order], 3, 2, mixup=mixup, cutmix=cutmix)
    assert torch.equal(whole.images[order], other.images)
    assert torch.equal(whole.share[order], other.share)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0), (0, 1), (0.8, 1)])
def test_seeds_and_epochs_draw_anew(mixup: float, cutmix: float) -> None:
    first, seed, epoch = of(mixup, cutmix), of(mixup, cutmix, seed=1), of(mixup, cutmix, epoch=2)
    for other in (seed, epoch):
        assert (first.share == other.share).float().mean() < 0.2
