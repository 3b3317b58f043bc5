"""What is drawn, read off the artists: means at their places, and standard deviations as long as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from search_spaces.schema import Spec
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Slot
from sweep.report import colors, curves, fidelity, figure, gradients, sensitivity, style
from sweep.report.history import History, read
from sweep.report.markup import Markup
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.results.rows import Row
from tests.support.examples import begin, record, small_spec
from tests.support.examples_report import tell

Bars = dict[float, tuple[float, float, float]]
"""By a point's place: what is drawn as its mean, and where its error bar begins and ends."""
PAIRS = ("resnet20→resnet8", "resnet14→resnet8")
METHODS: list[Any] = ["scratch", "kd", {"dhkd": {"alpha": [0.5, 1, 5]}}]
MEANS = {"scratch": 70.0, "kd": 80.0, "dhkd α=0.5": 84.0, "dhkd α=1": 83.0, "dhkd α=5": 81.0}
SPREADS = {"scratch": 0.25, "kd": 0.5, "dhkd α=0.5": 1.0, "dhkd α=1": 1.5, "dhkd α=5": 2.0}
"""Of three seeds: one at the mean, the others as far from it; at the first pair."""
LESS = 10.0
"""Points that the second pair has less, but for the same student from scratch, which is one trial for both."""


def accuracy(slot: Slot) -> float:
    lower = slot.pair == PAIRS[1] and slot.label != "scratch"
    mean = MEANS.get(slot.label, 90.0) - (LESS if lower else 0.0)
    return mean + (slot.seed - 1) * SPREADS.get(slot.label, 0.0)


class Sketches(Studio):
    """Keeps figures, and makes no files of them."""

    def __init__(self) -> None:
        super().__init__()
        self.panels: dict[str, Axes] = {}
        self.remarks: dict[str, str] = {}

    def picture(self, figure: Figure, title: str, *words: str, remark: str = "") -> Picture:
        (self.panels[title],) = figure.axes
        self.remarks[title] = remark
        return Picture(title, title, 0, Markup(), figure)


def told(folder: Path, spec: Spec, left_out: Callable[[Slot], bool] = lambda slot: False) -> History:
    plan = build_plan(spec)
    with Ledger(folder / "ledger.db") as ledger:
        begin(ledger, plan, spec)
        for slot in plan.slots:
            if not left_out(slot):
                record(ledger, plan, slot, [accuracy(slot) - 5.0, accuracy(slot)])
        return read(ledger)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    pairs = [pair.replace("→", " -> ") for pair in PAIRS]
    return told(tmp_path_factory.mktemp("told"), small_spec(pairs=pairs, methods=METHODS, seeds=3))


def rows_of(history: History) -> list[Row]:
    return [row for row in history.board.rows if row.pair == PAIRS[0]]


def panel(history: History, rows: list[Row] | None = None) -> Axes:
    axes = Figure().subplots()
    figure._panel(axes, rows or rows_of(history), history.looks)
    return axes


def sketched(make: Callable[[History, Studio], Section | None], history: History) -> dict[str, Axes]:
    """A section's panels by their titles."""
    studio = Sketches()
    with style.drawing():
        assert make(history, studio) is not None
    return studio.panels


# -- reading artists --------------------------------------------------------------------------------------------------


def bars(axes: Axes, label: str) -> Bars:
    """The points of the one series of error bars with that label."""
    (found,) = [one for one in containers(axes) if one.get_label() == label]
    return points_of(found)


def dots(axes: Axes) -> Bars:
    """All points of a panel whose error bars are horizontal, by how far down they stand."""
    return {place: made for one in containers(axes) for place, made in points_of(one, along="x").items()}


def containers(axes: Axes) -> list[ErrorbarContainer]:
    return [one for one in axes.containers if isinstance(one, ErrorbarContainer)]


def points_of(found: ErrorbarContainer, along: Literal["x", "y"] = "y") -> Bars:
    points, caps, (ranges,) = found.lines
    assert points is not None
    assert np.all(np.asarray(ranges.get_linewidth()) > 0)
    assert len(caps) == 2
    x, y = np.asarray(points.get_xdata(), dtype=float), np.asarray(points.get_ydata(), dtype=float)
    places, means, value = (x, y, 1) if along == "y" else (y, x, 0)
    found_bars: Bars = {}
    for place, mean, segment in zip(places.tolist(), means.tolist(), ranges.get_segments(), strict=True):
        low, high = sorted(np.asarray(segment)[:, value].tolist())
        found_bars[place] = (mean, low, high)
    return found_bars


def expected(labels: Sequence[str], places: Sequence[float]) -> Any:
    """Each mean with its sample standard deviation to both sides."""
    made = [(MEANS[name], MEANS[name] - SPREADS[name], MEANS[name] + SPREADS[name]) for name in labels]
    return {place: pytest.approx(one) for place, one in zip(places, made, strict=True)}


def bands(axes: Axes) -> dict[str, tuple[float, float, float]]:
    """The dashed lines with their bands, each the one of its colour: mean, and where the band begins and ends."""
    spans = {
        to_hex(patch.get_facecolor()): (patch.get_y(), patch.get_y() + patch.get_height())
        for patch in axes.patches
        if isinstance(patch, Rectangle)
    }
    found = {}
    for line in axes.lines:
        if line.get_linestyle() == "--":
            means = set(np.asarray(line.get_ydata(), dtype=float).tolist())
            assert len(means) == 1
            found[str(line.get_label())] = (means.pop(), *spans[to_hex(line.get_color())])
    assert len(spans) == len(found)
    return found


def band(name: str) -> Any:
    return pytest.approx((MEANS[name], MEANS[name] - SPREADS[name], MEANS[name] + SPREADS[name]))


def references(axes: Axes) -> dict[str, float]:
    """The named thin lines across the panel."""
    named = {str(text.get_text()): float(text.xy[1]) for text in axes.texts if isinstance(text, Annotation)}
    drawn = [np.asarray(line.get_ydata(), dtype=float).tolist() for line in axes.lines if line.get_linewidth() == 1]
    assert sorted(drawn) == sorted([value, value] for value in named.values())
    return named


def ribbons(axes: Axes) -> dict[str, dict[float, tuple[float, float]]]:
    """By the colour of each curve, its band's lower and upper edge by epoch."""
    found: dict[str, dict[float, tuple[float, float]]] = {}
    for ribbon in axes.collections:
        assert isinstance(ribbon, FillBetweenPolyCollection)
        (path,) = ribbon.get_paths()
        edges: dict[float, list[float]] = {}
        for x, y in np.asarray(path.vertices):
            edges.setdefault(float(x), []).append(float(y))
        found[to_hex(np.asarray(ribbon.get_facecolor())[0])] = {x: (min(ys), max(ys)) for x, ys in edges.items()}
    return found


# -- a band of a method that was not swept ----------------------------------------------------------------------------


def test_a_band_is_a_line_at_the_mean_with_a_deviation_to_both_sides() -> None:
    axes = Figure().subplots()
    style.band(axes, 80.0, 1.5, colors.SERIES[0], "kd")
    style.band(axes, 70.0, 0.0, colors.SERIES[1], "scratch")
    assert bands(axes) == {"kd": (80.0, 78.5, 81.5), "scratch": (70.0, 70.0, 70.0)}
    shares = [patch.get_x() for patch in axes.patches if isinstance(patch, Rectangle)]
    widths = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert (shares, widths) == ([0.0, 0.0], [1.0, 1.0])  # the whole panel, wherever its values lie
    assert all(0 < (patch.get_alpha() or 0) < 1 for patch in axes.patches)


# -- the one figure ---------------------------------------------------------------------------------------------------


def test_points_of_the_figure_have_error_bars_of_a_deviation_each(history: History) -> None:
    found = bars(panel(history), "dhkd")
    assert found == expected(["dhkd α=0.5", "dhkd α=1", "dhkd α=5"], [0.5, 1.0, 5.0])


def test_methods_of_the_figure_that_were_not_swept_are_bands_of_a_deviation(history: History) -> None:
    assert bands(panel(history)) == {name: band(name) for name in ("scratch", "kd")}


def test_methods_of_the_figure_that_are_dots_have_horizontal_error_bars(history: History) -> None:
    names = ["scratch", "kd"]
    axes = panel(history, [row for row in rows_of(history) if row.label in names])
    assert dots(axes) == expected(names, [0.0, 1.0])
    assert [label.get_text() for label in axes.get_yticklabels()] == names


def test_one_seed_is_drawn_without_a_deviation(tmp_path: Path) -> None:
    found = told(tmp_path, small_spec(methods=METHODS, seeds=[1]))
    axes = panel(found)
    assert bars(axes, "dhkd") == {0.5: (84.0,) * 3, 1.0: (83.0,) * 3, 5.0: (81.0,) * 3}
    assert bands(axes) == {"scratch": (70.0,) * 3, "kd": (80.0,) * 3}


# -- sensitivity ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(history: History) -> dict[str, Axes]:
    return sketched(sensitivity.section, history)


def test_every_pair_and_all_together_have_a_picture(swept: dict[str, Axes]) -> None:
    names = [*PAIRS, "all pairs"]
    assert set(swept) == {f"Test accuracy against α, {name}" for name in names}


def test_sensitivitys_points_have_error_bars_of_a_deviation_each(swept: dict[str, Axes]) -> None:
    found = bars(swept[f"Test accuracy against α, {PAIRS[0]}"], "dhkd")
    assert found == expected(["dhkd α=0.5", "dhkd α=1", "dhkd α=5"], [0.5, 1.0, 5.0])


def test_the_baseline_and_scratch_are_named_lines_beside_sensitivitys_points(swept: dict[str, Axes]) -> None:
    axes = swept[f"Test accuracy against α, {PAIRS[0]}"]
    assert references(axes) == {"kd": 80.0, "scratch": 70.0, "teacher": 90.0}
    assert bands(axes) == {}
    low, high = axes.get_ylim()
    assert low < 70.0 < 90.0 < high


def test_what_is_too_far_away_to_be_drawn_is_told(history: History) -> None:
    """The teacher, at 90 %, of the second pair, whose students reach 75 %."""
    studio = Sketches()
    with style.drawing():
        sensitivity.section(history, studio)
    title = f"Test accuracy against α, {PAIRS[1]}"
    assert references(studio.panels[title]) == {"kd": 70.0, "scratch": 70.0}
    assert studio.remarks[title] == "not in the picture: teacher 90.00"
    assert studio.remarks[f"Test accuracy against α, {PAIRS[0]}"] == ""


def test_over_all_pairs_means_and_deviations_are_those_of_each_seeds_mean(swept: dict[str, Axes]) -> None:
    """The second pair is 10 points lower in every seed, which is no deviation between seeds."""
    axes = swept["Test accuracy against α, all pairs"]
    for place, name in ((0.5, "dhkd α=0.5"), (1.0, "dhkd α=1"), (5.0, "dhkd α=5")):
        mean, spread = MEANS[name] - LESS / 2, SPREADS[name]
        assert bars(axes, "dhkd")[place] == pytest.approx((mean, mean - spread, mean + spread))
    assert references(axes) == pytest.approx({"scratch": MEANS["scratch"], "kd": MEANS["kd"] - LESS / 2})


def test_over_all_pairs_only_seeds_count_that_every_pair_has(tmp_path: Path) -> None:
    """The second pair, 10 points lower, lacks seed 2: with that of the first pair alone the mean would be too high."""
    pairs = [pair.replace("→", " -> ") for pair in PAIRS]
    spec = small_spec(pairs=pairs, methods=METHODS, seeds=3)
    lacking = told(tmp_path, spec, lambda slot: (slot.pair, slot.seed) == (PAIRS[1], 2))
    axes = sketched(sensitivity.section, lacking)["Test accuracy against α, all pairs"]
    for place, name in ((0.5, "dhkd α=0.5"), (1.0, "dhkd α=1"), (5.0, "dhkd α=5")):
        seeds = [MEANS[name] - LESS / 2 - SPREADS[name], MEANS[name] - LESS / 2]
        mean, spread = np.mean(seeds), np.std(seeds, ddof=1)
        assert bars(axes, "dhkd")[place] == pytest.approx((mean, mean - spread, mean + spread))
    seeds = [MEANS["kd"] - LESS / 2 - SPREADS["kd"], MEANS["kd"] - LESS / 2]
    assert references(axes)["kd"] == pytest.approx(np.mean(seeds))


def test_pairs_without_a_common_seed_are_not_averaged(tmp_path: Path) -> None:
    pairs = [pair.replace("→", " -> ") for pair in PAIRS]
    spec = small_spec(pairs=pairs, methods=METHODS, seeds=2)
    apart = told(tmp_path, spec, lambda slot: slot.seed != PAIRS.index(slot.pair) if slot.pair in PAIRS else False)
    assert set(sketched(sensitivity.section, apart)) == {f"Test accuracy against α, {pair}" for pair in PAIRS}


# -- curves -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """With diagnostics, which differ between seeds in the losses' conflict alone."""
    spec = small_spec(methods=METHODS, recipe={"base": "digits", "epochs": 4, "samples_per_class": 8})
    plan = build_plan(spec)
    with Ledger(tmp_path_factory.mktemp("diagnosed") / "ledger.db") as ledger:
        begin(ledger, plan, spec)
        for slot in plan.teachers:
            record(ledger, plan, slot, [90.0])
        for slot in plan.students:
            tell(ledger, plan, slot)
        yield read(ledger)


def check_ribbons(axes: Axes, history: History, number: str) -> None:
    """Every configuration's curve has its mean and deviation, epoch by epoch, in its own colour."""
    known = [config for config in history.of(PAIRS[0]) if config.has(number)]
    found = ribbons(axes)
    lines = {line.get_label(): line for line in axes.lines}
    assert len(found) == len(known)
    for config in known:
        line = lines[config.name]
        drawn = dict(zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True))
        values = np.array([curve.numbers[number] for curve in config.curves.values()])
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
        epochs = [epoch for epoch in range(1, values.shape[1] + 1) if not np.isnan(mean[epoch - 1])]
        assert drawn == {epoch: pytest.approx(mean[epoch - 1]) for epoch in epochs}
        edges = {e: pytest.approx((mean[e - 1] - spread[e - 1], mean[e - 1] + spread[e - 1])) for e in epochs}
        assert found[to_hex(line.get_color())] == edges


def test_curves_stand_in_bands_of_a_deviation(history: History) -> None:
    panels = sketched(curves.section, history)
    axes = panels[f"Test accuracy by epoch, {PAIRS[0]}"]
    check_ribbons(axes, history, "test_acc")
    (widest,) = [line for line in axes.lines if line.get_label() == "dhkd α=5"]
    assert ribbons(axes)[to_hex(widest.get_color())] == {
        1: pytest.approx((74.0, 78.0)),
        2: pytest.approx((79.0, 83.0)),
    }
    check_ribbons(panels[f"Train accuracy by epoch, {PAIRS[0]}"], history, "train_acc")


def test_the_cosines_of_gradients_stand_in_bands_of_a_deviation(diagnosed: History) -> None:
    panels = sketched(gradients.section, diagnosed)
    axes = panels[f"Gradient conflict in the head, {PAIRS[0]}"]
    check_ribbons(axes, diagnosed, "conflict_head")
    half = 0.01 / 2**0.5  # of two seeds, 0.01 apart
    for edges in ribbons(axes).values():
        assert edges == {epoch: pytest.approx((-0.305 - half, -0.305 + half)) for epoch in (2, 4)}


def test_measures_of_fidelity_stand_in_bands(diagnosed: History) -> None:
    panels = sketched(fidelity.section, diagnosed)
    axes = panels[f"Same class by epoch, {PAIRS[0]}"]
    check_ribbons(axes, diagnosed, "fidelity_agreement")


# -- panels of many ---------------------------------------------------------------------------------------------------


def test_every_panel_of_many_rows_holds_the_baseline(tmp_path: Path) -> None:
    alphas = [round(0.1 * (place + 1), 1) for place in range(2 * curves.TOGETHER)]
    many = told(tmp_path, small_spec(methods=["scratch", "kd", {"dhkd": {"alpha": alphas}}], seeds=1))
    panels = curves.chunks(many, many.of(PAIRS[0]))
    assert [sum(config.name == "kd" for config in panel) for panel in panels] == [1, 1, 1]
    assert all(len(panel) <= curves.TOGETHER + 1 for panel in panels)
    drawn = [config.name for panel in panels for config in panel if config.name != "kd"]
    assert drawn == [config.name for config in many.of(PAIRS[0]) if config.name != "kd"]
