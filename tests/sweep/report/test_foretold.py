"""The curves that a search that looks ahead has foretold, as they are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweep.report import foretold, style
from sweep.report.style import Studio
from sweep.search.cell_search import CellSearch
from sweep.search.looking_back import given_up
from tests.sweep.search.test_looking_back import EPOCHS, plan_of, searched

pytestmark = pytest.mark.slow(3)  # its search, once for all


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> CellSearch:
    """A search that looks ahead, at its end."""
    return searched(tmp_path_factory.mktemp("ahead"), plan_of(sampler="curves", trials=22))


@pytest.fixture(autouse=True)
def drawing() -> Iterator[None]:
    with style.drawing():
        yield


def test_what_was_given_up_goes_on_as_it_was_foretold(ahead: CellSearch) -> None:
    drawn = foretold.picture(ahead, Studio())
    assert drawn is not None
    (axes,) = drawn.figure.axes
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    lost = given_up(ahead, foretold.MOST_GIVEN_UP)
    assert len(dashed) == len(lost) == foretold.MOST_GIVEN_UP
    for line, band, one in zip(dashed, axes.collections, lost, strict=True):
        assert one.weighed is not None
        assert list(line.get_xdata()) == list(range(one.epoch, EPOCHS + 1))
        mean, deviation = one.weighed.end
        assert np.asarray(line.get_ydata())[-1] == pytest.approx(mean), "the end that the rule used"
        at_the_end = [y for x, y in band.get_paths()[0].vertices if x == EPOCHS]
        assert (min(at_the_end), max(at_the_end)) == pytest.approx((mean - 2 * deviation, mean + 2 * deviation))


def test_the_real_curves_are_those_of_the_best(ahead: CellSearch) -> None:
    drawn = foretold.picture(ahead, Studio())
    assert drawn is not None
    (axes,) = drawn.figure.axes
    best = ahead.chosen()[0].number
    assert list(axes.lines[0].get_ydata()) == [value for _, value in sorted(ahead.asked[best].epochs.items())]


def test_it_says_how_many_are_left_out(ahead: CellSearch) -> None:
    drawn = foretold.picture(ahead, Studio())
    assert drawn is not None
    lost = sum(asked.state == "pruned" for asked in ahead.asked)
    assert lost > foretold.MOST_GIVEN_UP
    assert f"the latest {foretold.MOST_GIVEN_UP} of {lost} that were given up" in drawn.remark


def test_other_searches_have_none(ahead: CellSearch, tmp_path: Path) -> None:
    other = searched(tmp_path, plan_of(sampler="random", pruner="asha", grace=1))
    assert foretold.picture(other, Studio()) is None
    assert foretold.picture(CellSearch(replace(ahead.cell)), Studio()) is None, "nothing was given up yet"
