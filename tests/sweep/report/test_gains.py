"""The gain table: the leaderboard's differences, shaded by size; and maps where two weights make a grid."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Slot
from sweep.report import gains, style
from sweep.report.gains import MOST_ROWS, SHADES, WIDEST, foremost, grids, section, shade
from sweep.report.history import History, read
from sweep.report.style import Studio
from sweep.results.grid import layout
from sweep.results.rows import Row
from tests.support.examples import begin, record, small_spec

PAIRS = ["resnet20 -> resnet8", "resnet14 -> resnet8"]
NOISE = (0.0, 0.11, -0.07)
WEIGHTS: list[Any] = ["kd", {"gdkd": {"w1": [1, 2], "w2": [2, 4, 8]}}]


def told(folder: Path, accuracy: Callable[[Slot], float], lacking: tuple[str, ...] = (), **changes: Any) -> History:
    spec = small_spec(seeds=3, **changes)
    plan = build_plan(spec)
    with Ledger(folder / "ledger.db") as ledger:
        begin(ledger, plan, spec)
        for slot in plan.slots:
            own = 0.02 * (sum(map(ord, slot.label)) * (slot.seed + 1) % 5)
            if (slot.label, slot.pair) != lacking:
                record(ledger, plan, slot, [accuracy(slot) + NOISE[slot.seed] + own])
        return read(ledger)


def table_of(history: History) -> list[list[str]]:
    """The texts of the table's cells."""
    made = section(history, Studio())
    assert made is not None
    whole = re.search(r'<table class="gains">(.*?)</table>', made.content, re.DOTALL)
    assert whole is not None
    lines = re.findall(r"<tr>(.*?)</tr>", whole[1], re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]


def test_the_cells_are_the_leaderboards_differences_with_its_marks(tmp_path: Path) -> None:
    means = {"kd": 80.0, "scratch": 77.0, "dhkd α=0.5": 81.5, "dhkd α=1": 80.1}
    history = told(
        tmp_path,
        lambda slot: means.get(slot.label, 90.0),
        pairs=PAIRS,
        methods=["scratch", "kd", {"dhkd": {"alpha": [0.5, 1]}}],
    )
    found = {line[0]: line[1:] for line in table_of(history)[1:]}
    printed = [[square.text for square in line] for group in layout(history.board).groups for line in group]
    assert found == {line[0]: [line[2], line[4], line[6]] for line in printed if line[0] not in ("teacher", "kd")}
    assert found["dhkd α=0.5"][0].endswith("*")
    assert found["scratch"][0].startswith("−")


def test_rows_and_columns_are_those_that_the_spec_has_printed(tmp_path: Path) -> None:
    table = {
        "names": {"dkd": "DKD (ours)"},
        "rows": ["kd", "dkd"],
        "columns": ["mean", "resnet14 -> resnet8"],
        "decimals": 1,
    }
    history = told(tmp_path, lambda slot: 80.0, pairs=PAIRS, methods=["kd", "at", "dkd"], table=table)
    head, line = table_of(history)
    assert [re.sub("<[^>]+>", "", text) for text in head] == ["method", "mean", "resnet14→resnet8"]
    assert line[0] == "DKD (ours)"
    assert re.fullmatch(r"[+−]?0\.\d\*?", line[1])


def test_a_row_without_a_result_under_one_pair_leaves_its_place_empty(tmp_path: Path) -> None:
    history = told(tmp_path, lambda slot: 80.0, ("at", "resnet14→resnet8"), pairs=PAIRS, methods=["kd", "at", "dkd"])
    found = {line[0]: line[1:] for line in table_of(history)[1:]}
    assert [bool(text) for text in found["at"][:2]] == [True, False]
    assert [bool(text) for text in found["dkd"][:2]] == [True, True]


@pytest.mark.parametrize(
    ("points", "ground"),
    [(0.0, ""), (0.24, ""), (-0.24, ""), (0.25, "gain-1"), (-0.6, "loss-2"), (1.0, "gain-3"), (-90.0, "loss-5")],
)
def test_a_difference_is_shaded_by_its_size(points: float, ground: str) -> None:
    assert shade(points) == ground


def test_every_shade_has_a_colour_on_the_page() -> None:
    rules = (Path(gains.__file__).parent / "page.css").read_text()
    for name in ("gain", "loss"):
        for step in range(1, len(SHADES) + 1):
            assert f".{name}-{step} {{" in rules


def test_of_very_many_rows_those_that_gain_most_are_listed() -> None:
    row = Row("r", "a→b", "m", "m", {}, {0: 1.0}, {}, {}, None, {})
    lines = {f"{n}": {"a→b": replace(row, delta=float(n % 7))} for n in range(2 * MOST_ROWS)} | {"kd": {"a→b": row}}
    kept = foremost(lines)
    assert len(kept) == MOST_ROWS
    assert sorted(kept, key=int) == kept
    left = [name for name in lines if name not in kept and name != "kd"]
    assert max(int(name) % 7 for name in left) <= min(int(name) % 7 for name in kept)


# -- maps -----------------------------------------------------------------------------------------------------------


def test_two_weights_that_were_swept_together_are_a_map_of_their_differences(tmp_path: Path) -> None:
    history = told(
        tmp_path, lambda slot: 80.0 + slot.varied.get("w1", 0) - slot.varied.get("w2", 0) / 4, methods=WEIGHTS
    )
    (grid,) = grids(history.configurations)
    assert (grid.name, grid.parameters, grid.axes) == ("gdkd", ("w1", "w2"), ([1.0, 2.0], [2.0, 4.0, 8.0]))
    rows = {(row.varied["w1"], row.varied["w2"]): row.delta for row in history.board.rows if row.varied}
    assert grid.deltas == rows
    studio = Studio()
    with style.drawing():
        assert section(history, studio) is not None  # of one pair, without a table
    (axes,) = studio.pictures[0].figure.axes
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts[1, 0] == f"{rows[2, 2]:+.2f}".replace("-", "−")
    assert texts[0, 2] == f"{rows[1, 8]:+.2f}".replace("-", "−")
    assert np.allclose(axes.get_xticks(), [0, 1])


def test_a_map_that_would_be_wider_than_the_page_has_narrower_squares_and_no_numbers_in_them(tmp_path: Path) -> None:
    many = [round(1.0 + place / 8, 3) for place in range(40)]
    methods = ["kd", {"gdkd": {"w1": many, "w2": [2, 4]}}]
    history = told(tmp_path, lambda slot: 80.0 + slot.varied.get("w1", 0), methods=methods)
    studio = Studio()
    with style.drawing():
        assert section(history, studio) is not None
    (picture,) = [one for one in studio.pictures if one.name.startswith("gain-")]
    (axes,) = picture.figure.axes
    assert picture.width == round(WIDEST * style.CSS_PIXELS)
    assert not axes.texts
    (grid,) = grids(history.configurations)
    squares = axes.collections[0]
    corners = [path.vertices[0] for path in squares.get_paths()]
    places = [(many[round(x + 0.48)], [2.0, 4.0][round(y + 0.48)]) for x, y in corners]
    light = dict(zip(places, squares.get_facecolors().sum(axis=1), strict=True))
    rising = sorted(grid.deltas, key=lambda place: grid.deltas[place] or 0.0)
    assert light.keys() == grid.deltas.keys()
    assert sorted(rising, key=lambda place: -light[place]) == rising  # the more is gained, the darker the blue
    named = {text.get_position()[0]: text.get_text() for text in axes.get_xticklabels()}
    assert named == {place: f"{many[place]:g}" for place in named}
    assert len(many) // 4 < len(named) < len(many)
    boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize(
    "methods",
    [
        ["kd", {"dhkd": {"alpha": [0.5, 1, 2]}}],
        ["kd", {"gdkd": {"w1": [1, 2]}}, {"gdkd": {"w2": [4, 8]}}],
        ["kd", {"dhkd": {"alpha": [0.5, 1], "head": ["linear", "shared"]}}],
    ],
    ids=["one number", "no whole grid", "one is no number"],
)
def test_what_is_no_grid_of_two_numbers_has_no_map(tmp_path: Path, methods: list[Any]) -> None:
    history = told(tmp_path, lambda slot: 80.0, methods=methods)
    assert grids(history.configurations) == []
    assert section(history, Studio()) is None
