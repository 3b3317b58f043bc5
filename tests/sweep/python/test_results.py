"""What came of a sweep, as Python has it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

import sweep
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.python.results import Results
from sweep.results.board import leaderboard
from sweep.results.export import export
from sweep.results.records import records
from sweep.results.studies import record as record_of
from sweep.results.studies import studies
from sweep.tracking.sync import sync
from tests.support.boards import better_with_k, searched_plan
from tests.support.examples import begin, play, record
from trainers.errors import InputError

PAIR = "resnet20→resnet8"


@pytest.fixture
def results(root: Root, ledger: Ledger, small_plan: Plan) -> Results:
    """Of a sweep all of whose trials have ended, one of them badly."""
    begin(ledger, small_plan)
    for slot in small_plan.slots:
        failed = (slot.label, slot.seed) == ("scratch", 1)
        record(ledger, small_plan, slot, [] if failed else [80.0, 90.0 + slot.seed], "failed" if failed else "finished")
    return sweep.open("small", root=root.path)


def test_the_table_is_the_leaderboard_s(results: Results, ledger: Ledger) -> None:
    expected = records(leaderboard(ledger))
    frame = results.table()
    assert list(frame.columns) == list(expected[0])
    assert frame.label.tolist() == [row["label"] for row in expected] == ["scratch", "kd", "dhkd α=0.5", "dhkd α=1"]
    assert frame["mean"].tolist() == [90.0, 90.5, 90.5, 90.5]
    assert results.arrow().column("label").to_pylist() == frame.label.tolist()


def test_every_trial_has_a_line_and_a_bad_end_its_reason(results: Results) -> None:
    frame = results.trials()
    assert len(frame) == 9
    assert frame.state.value_counts().to_dict() == {"finished": 8, "failed": 1}
    (failed,) = frame[frame.state == "failed"].itertuples()
    assert (failed.label, failed.seed, failed.reason) == ("scratch", 1, "ValueError: no")
    done = frame[(frame.label == "dhkd α=1") & (frame.seed == 1)].iloc[0]
    assert (done.test_acc, done.best_test_acc, done.epochs, done["param.alpha"]) == (91.0, 91.0, 2, 1)
    assert (done.teacher, done.student) == ("resnet20", "resnet8")
    teacher = frame[frame.stage == "teacher"].iloc[0]
    assert (teacher.pair, teacher.student) == ("resnet20", "resnet20")
    assert results.states == {"finished": 8, "failed": 1}


def test_every_epoch_is_there_as_export_writes_it(results: Results, ledger: Ledger, tmp_path: Path) -> None:
    export(ledger, tmp_path / "epochs.parquet")
    written = pq.read_table(tmp_path / "epochs.parquet")
    told = results.arrow("epochs")
    assert told.to_pylist() == written.to_pylist()
    frame = results.epochs()
    assert len(frame) == 16
    assert frame.groupby(["label", "seed"]).test_acc.last()["dhkd α=1", 1] == 91.0
    assert str(frame.label.dtype) != "category"


def test_of_a_sweep_that_has_begun_the_tables_are_there(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    results = sweep.open(root=root.path)
    assert (results.name, len(results.epochs()), len(results.table())) == ("small", 0, 4)
    assert set(results.trials().state) == {"waiting"}
    record(ledger, small_plan, small_plan.students[0], [50.0])
    assert (len(results.epochs()), results.states["finished"]) == (1, 1)
    with pytest.raises(InputError, match="dhkd α=1 · seed 1 is waiting; it has no student"):
        results.student(PAIR, "dhkd α=1", 1)


def test_a_comparison_prints_and_is_a_table(results: Results) -> None:
    found = results.compare("dhkd α=1", "kd")
    frame = found.table()
    assert frame.loc[0, ["pair", "seeds", "difference"]].tolist() == [PAIR, 2, 0.0]
    assert repr(found).startswith("dhkd α=1 cannot be tested against kd: 2 common seeds, and a test needs 3")
    assert found.answer in repr(found)
    assert found._repr_html_() == f"<pre>{found!r}</pre>"
    with pytest.raises(InputError, match="'dhkd' has several rows"):
        results.compare("dhkd", "kd")


def test_the_figure_is_matplotlib_s_and_shows_itself(results: Results, root: Root, ledger: Ledger) -> None:
    from sweep.report.figure import draw

    figure = results.figure()
    assert [axes.get_title() for axes in figure.axes] == [PAIR]
    draw(leaderboard(ledger), root.sweep("small").figure)
    assert figure._repr_png_() == root.sweep("small").figure.read_bytes()  # type: ignore[attr-defined]
    saved = io.BytesIO()
    figure.savefig(saved, format="pdf")
    assert saved.getvalue().startswith(b"%PDF")


def test_a_search_has_a_line_as_the_command_prints_it(root: Root) -> None:
    plan = searched_plan(seeds=1)
    with Ledger(root.sweep(plan.name).ledger) as ledger:
        play(ledger, plan, better_with_k)
        expected = [record_of(study) for study in studies(ledger)]
    frame = sweep.open(plan.name, root=root.path).studies()
    assert list(frame.columns) == list(expected[0])
    assert (frame.search[0], frame.tried[0]) == ("gdkd", "6/6")
    assert frame.best_so_far[0] == expected[0]["best_so_far"] != []


def test_where_nothing_was_searched_there_are_no_studies(results: Results) -> None:
    with pytest.raises(InputError, match="'small' searches nothing"):
        results.studies()
    with pytest.raises(InputError, match="which lies where the sweep ran"):
        Results("small", results._below, "http://nowhere").studies()


def test_of_no_result_there_is_no_figure(root: Root, ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    with pytest.raises(InputError, match="sweep 'small' has no result to draw yet"):
        sweep.open("small", root=root.path).figure()


def test_a_notebook_shows_the_leaderboard(results: Results) -> None:
    html = results._repr_html_()
    assert html.count("<tr>") == 1 + 1 + 4
    assert "dhkd α=0.5" in html
    assert "90.50 ± 0.71 (2)" in html
    assert "mean ± standard deviation" in html
    assert "dhkd α=0.5" in repr(results)
    assert results.headline.startswith(
        "kd, the baseline, has the highest accuracy under resnet20→resnet8, 90.50 %, level with dhkd"
    )
    assert f"<p>{results.headline}</p>" in html
    assert results.headline in repr(results)


def test_what_is_not_there_is_refused(root: Root, results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no sweep 'smal' below"):
        sweep.open("smal", root=root.path)
    with pytest.raises(InputError, match="unknown table 'epoch'; did you mean 'epochs'"):
        results.arrow("epoch")  # type: ignore[arg-type]
    monkeypatch.setenv("SWEEP_ROOT", str(root.path))
    assert sweep.open().name == "small"


@pytest.mark.slow(5)
def test_a_sweep_that_ran_elsewhere_is_read_off_its_server(
    results: Results, root: Root, tmp_path: Path, new_store: Callable[[str], str]
) -> None:
    uri = new_store("elsewhere.db")
    sync(root, "small", uri, lambda what: None)
    other = sweep.open("small", root=tmp_path / "empty", tracking_uri=uri)
    assert other.table()["mean"].tolist() == results.table()["mean"].tolist()
    ours, theirs = (each.trials().sort_values(["label", "seed"]) for each in (results, other))
    for column in ("label", "seed", "state", "test_acc", "best_test_acc", "trial"):
        assert json.loads(theirs[column].to_json(orient="values")) == json.loads(ours[column].to_json(orient="values"))
    known, told = results.epochs(), other.epochs()
    untold = ["config", "seconds", "teacher_images"]
    assert told[untold].isna().all(axis=None)
    assert_frame_equal(told.drop(columns=untold), known.drop(columns=untold), check_dtype=False)
    assert other.compare("dhkd α=1", "kd").differences == results.compare("dhkd α=1", "kd").differences
    with pytest.raises(InputError, match=r"has no model of .* · kd · seed 0; it has none of this sweep's students"):
        other.student(PAIR, "kd", 0)
