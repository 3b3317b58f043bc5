"""The one figure: a real picture, of every result."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search_spaces.schema import Spec
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.report import draw, figure
from sweep.report.looks import Looks
from sweep.results.board import Leaderboard, leaderboard
from tests.support.examples import SPEC, begin, record, small_spec


def board_of(folder: Path, spec: Spec, finished: bool = True) -> Leaderboard:
    """A table with made-up results, every one different."""
    plan = build_plan(spec)
    with Ledger(folder / "ledger.db") as ledger:
        begin(ledger, plan)
        for place, slot in enumerate(plan.slots if finished else ()):
            record(ledger, plan, slot, [80.0 + place / 10])
        return leaderboard(ledger)


def panel_of(board: Leaderboard) -> Axes:
    """The panel of the first pair."""
    axes = Figure().subplots()
    figure._panel(axes, [cell for cell in board.rows if cell.pair == board.pairs[0]], Looks(board))
    return axes


def legend(axes: Axes) -> list[str]:
    drawn = axes.get_legend()
    assert drawn is not None
    return [text.get_text() for text in drawn.get_texts()]


def test_a_figure_is_a_picture_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    assert draw(board_of(tmp_path, small_spec()), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    picture = matplotlib.image.imread(path)
    height, width, _ = picture.shape
    assert (width, height) == (figure.PANEL[0] * 150, figure.PANEL[1] * 150)
    assert picture[..., :3].std() > 0.05
    assert [file.name for file in tmp_path.glob("*.png")] == ["figure.png"]


@pytest.mark.slow(1)
def test_several_pairs_have_a_panel_each(tmp_path: Path) -> None:
    pairs = [f"{teacher} -> resnet8" for teacher in ("resnet14", "resnet20", "resnet32", "resnet44")]
    board = board_of(tmp_path, small_spec(pairs=pairs, methods=["kd", {"dhkd": {"alpha": [0.5, 1]}}], seeds=1))
    assert draw(board, tmp_path / "figure.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "figure.png").shape
    assert (width, height) == (3 * figure.PANEL[0] * 150, 2 * figure.PANEL[1] * 150)


def test_nothing_is_drawn_before_the_first_result(tmp_path: Path) -> None:
    assert not draw(board_of(tmp_path, small_spec(), finished=False), tmp_path / "figure.png")
    assert not (tmp_path / "figure.png").exists()


def test_a_method_without_results_does_not_stop_the_figure(tmp_path: Path) -> None:
    plan = build_plan(small_spec())
    with Ledger(tmp_path / "ledger.db") as ledger:
        begin(ledger, plan)
        record(ledger, plan, plan.students[2], [80.0])
        assert draw(leaderboard(ledger), tmp_path / "figure.png")


def test_alpha_stands_on_a_logarithmic_axis_with_the_rest_as_bands(tmp_path: Path) -> None:
    spec = small_spec(methods=["scratch", "kd", {"dhkd": {"alpha": [5, 0.2, 1]}}])
    axes = panel_of(board_of(tmp_path, spec))
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "α"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.2", "1", "5"]
    (line,) = [container for container in axes.containers if container.get_label() == "dhkd"]
    points = line.lines[0]
    # trials are numbered from the teacher on: seed 0 is 1 to 5, seed 1 is 6 to 10; alpha as listed is 5, 0.2, 1
    assert list(points.get_xdata()) == [0.2, 1.0, 5.0]
    assert list(points.get_ydata()) == pytest.approx([80.65, 80.75, 80.55])
    assert {"scratch", "kd", "dhkd"} == set(legend(axes))
    assert len(axes.patches) == 2


def test_a_narrow_or_zero_range_stands_on_a_plain_axis(tmp_path: Path) -> None:
    for name, alphas in (("narrow", [1, 2]), ("zero", [0, 10])):
        (tmp_path / name).mkdir()
        board = board_of(tmp_path / name, small_spec(methods=["kd", {"dhkd": {"alpha": alphas}}]))
        assert panel_of(board).get_xscale() == "linear"


def test_without_a_swept_number_every_method_is_a_dot(tmp_path: Path) -> None:
    spec = small_spec(methods=["scratch", "kd", {"dhkd": {"head": ["linear", "nonlinear"]}}])
    axes = panel_of(board_of(tmp_path, spec))
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["scratch", "kd", "dhkd head=linear", "dhkd head=nonlinear"]
    assert axes.yaxis_inverted()
    assert axes.get_legend() is None


def test_other_hyperparameters_draw_lines_of_their_own(tmp_path: Path) -> None:
    spec = small_spec(methods=[{"dhkd": {"alpha": [0.5, 1], "head": ["linear", "shared"]}}], seeds=1)
    assert set(legend(panel_of(board_of(tmp_path, spec)))) == {"dhkd head=linear", "dhkd head=shared"}


def test_recipes_draw_lines_of_their_own(tmp_path: Path) -> None:
    methods = ["kd", {"dhkd": {"alpha": [0.5, 1]}}]
    spec = small_spec(recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]}, methods=methods, seeds=1)
    names = legend(panel_of(board_of(tmp_path, spec)))
    assert len(names) == len(set(names)) == 4


def test_no_method_is_left_out_however_many_there_are(tmp_path: Path) -> None:
    many = [{"kd": {"temperature": list(range(1, 11))}}, {"dhkd": {"alpha": [0.5, 1]}}]
    board = board_of(tmp_path, small_spec(methods=many, seeds=1))
    assert len(legend(panel_of(board))) == 10 + 1


@pytest.mark.parametrize(
    ("methods", "swept"),
    [
        (["scratch", "kd"], None),
        (["kd", {"dhkd": {"alpha": [0.5, 1]}}], "alpha"),
        ([{"kd": {"temperature": [2, 4], "alpha": [0.5, 1]}}], "alpha"),
        ([{"kd": {"temperature": [2, 4]}}], "temperature"),
        ([{"dhkd": {"align": [True, False]}}], None),
        ([{"dhkd": {"head": ["linear", "shared"], "hidden": [100, 200]}}], "hidden"),
        ([{"dhkd": {"alpha_epochs": [None, 2]}}], None),
        ([{"dhkd": {"main": ["kd", "dkd"]}}], None),
        ([{"dhkd": {"main": ["kd", "dkd"], "alpha": [0.5, 1]}}], "alpha"),
        ([{"sld": {"temperatures": [[1, 2], [4]]}}], None),
    ],
)
def test_the_swept_number_is_alpha_where_it_was_swept(tmp_path: Path, methods: list[object], swept: str | None) -> None:
    board = board_of(tmp_path, small_spec(methods=methods))
    assert figure.swept_parameter(board.rows) == swept
    assert draw(board, tmp_path / "figure.png")
