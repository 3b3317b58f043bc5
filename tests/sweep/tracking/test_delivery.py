"""The ledger in MLflow: delivered once however often it is told, and never in the way of a sweep."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from sweep import report
from sweep.formats import Format
from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results import draw, records
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.headline import headline
from sweep.tracking import delivery
from sweep.tracking import projector as projector_module
from sweep.tracking.address import tracking_uri
from sweep.tracking.mlflow_internals import LONGEST_TAG
from sweep.tracking.progress import delivered, fact
from sweep.tracking.projector import Projector
from sweep.tracking.run_content import epoch_metrics, parameters
from sweep.tracking.sync import sync
from tests.support.examples import begin, epoch_body, job_of, play, record, slot_of, small_spec, teacher_of
from tests.support.tracked import forget, picture, points, runs, same_everywhere
from trainers.errors import StorageError

if TYPE_CHECKING:
    from mlflow.entities import Run

NewStore = Callable[..., str]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The database migrations of MLflow log a line each."""
    level = logging.getLogger("alembic").level
    yield
    logging.getLogger("alembic").setLevel(level)


@pytest.fixture
def uri(new_store: NewStore) -> str:
    return new_store()


def report_now(ledger: Ledger, paths: SweepPaths) -> None:
    """Table and figure, as a run makes them at its end."""
    board = leaderboard(ledger)
    drawn = report.draw(board, paths.figure)
    body = {
        "headline": headline(board),
        "markdown": draw.render(board, Format.MARKDOWN),
        "records": records.records(board),
        "figure": paths.figure.name if drawn else None,
    }
    ledger.append("report", body=body)


def tell(ledger: Ledger, paths: SweepPaths, small_plan: Plan) -> dict[str, str]:
    """A sweep with a trial in every state, reported and stopped; the trials' keys by name."""
    begin(ledger, small_plan, small_spec())
    tests = [80.0, 90.0, 85.0]
    vals = [70.0, 80.0, 75.0]
    found = {
        "teacher": record(ledger, small_plan, small_plan.teachers[0], tests, val_accs=vals),
        "scratch": record(ledger, small_plan, slot_of(small_plan, "scratch"), tests, val_accs=vals),
        "kd": record(ledger, small_plan, slot_of(small_plan, "kd"), tests, val_accs=vals),
        "diverged": record(ledger, small_plan, slot_of(small_plan, "kd", 1), [10.0], "diverged", [10.0]),
        "failed": record(ledger, small_plan, slot_of(small_plan, "dhkd α=1"), [], "failed"),
        "interrupted": record(ledger, small_plan, slot_of(small_plan, "dhkd α=0.5"), [50.0], "interrupted", [5.0]),
        "running": record(ledger, small_plan, slot_of(small_plan, "dhkd α=0.5", 1), [50.0], "running", [5.0]),
    }
    report_now(ledger, paths)
    ledger.append("stop", body={"exit_code": 1})
    return found


@dataclass(frozen=True)
class Told:
    """A sweep that nobody writes to any more."""

    root: Root
    ledger: Ledger
    keys: dict[str, str]

    @property
    def paths(self) -> SweepPaths:
        return self.root.sweep("small")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, small_plan: Plan) -> Iterator[Told]:
    root = Root(tmp_path_factory.mktemp("told") / "runs")
    with Ledger(root.sweep("small").ledger) as ledger:
        yield Told(root, ledger, tell(ledger, root.sweep("small"), small_plan))


@pytest.fixture
def keys(told: Told, ledger: Ledger, paths: SweepPaths) -> dict[str, str]:
    """Has `ledger` hold what :func:`tell` told; the trials' keys by name."""
    with closing(sqlite3.connect(told.paths.ledger)) as ours, closing(sqlite3.connect(ledger.path)) as theirs:
        ours.backup(theirs)
    shutil.copyfile(told.paths.figure, paths.figure)
    return told.keys


@dataclass(frozen=True)
class Tracked:
    """What a store holds of a sweep, for tests that only look."""

    told: Told
    delivered: int
    """Events."""
    uri: str
    runs: dict[str, Run]


@pytest.fixture(scope="module")
def tracked(told: Told, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    path = tmp_path_factory.mktemp("tracked") / "mlflow.db"
    shutil.copyfile(empty_store, path)
    uri = f"sqlite:///{path}"
    return Tracked(told, sync(told.root, "small", uri), uri, runs(uri))


# -- what is there after delivery ---------------------------------------------------------------------------------


def test_a_sweep_is_one_parent_with_a_nested_run_for_each_trial(tracked: Tracked) -> None:
    assert tracked.delivered == tracked.told.ledger.last_seq()
    found = dict(tracked.runs)
    assert set(found) == {"sweep", *tracked.told.keys.values()}
    parent = found.pop("sweep")
    assert parent.info.run_name == "small"
    assert "mlflow.parentRunId" not in parent.data.tags
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert {run.info.experiment_id for run in found.values()} == {parent.info.experiment_id}
    assert {run.data.tags["sweep.id"] for run in found.values()} == {tracked.told.ledger.id}
    assert {run.data.tags["sweep.name"] for run in found.values()} == {"small"}


def test_a_run_carries_its_trials_place_and_config(tracked: Tracked, small_plan: Plan) -> None:
    run = tracked.runs[tracked.told.keys["running"]]
    assert run.info.run_name == "resnet20→resnet8 · dhkd α=0.5 · seed 1"
    tags = {name: value for name, value in run.data.tags.items() if not name.startswith(("mlflow.", "sweep."))}
    assert tags == {
        "stage": "confirm",
        "pair": "resnet20→resnet8",
        "teacher": "resnet20",
        "student": "resnet8",
        "method": "dhkd",
        "label": "dhkd α=0.5",
        "row": "dhkd α=0.5",
        "recipe": "digits",
        "dataset": "digits",
        "teacher_hash": teacher_of(small_plan.teachers[0]).hash,
        "seed": "1",
        "state": "running",
    }
    config = job_of(small_plan, slot_of(small_plan, "dhkd α=0.5", 1)).trial.model_dump(mode="json")
    assert run.data.params == {name: str(value) for name, value in parameters(config).items()}
    assert run.data.params["alpha"] == "0.5"
    assert run.data.params["recipe.epochs"] == "3"
    assert not {"dataset", "teacher_hash"} & run.data.params.keys()
    teacher = tracked.runs[tracked.told.keys["teacher"]]
    assert teacher.info.run_name == "teacher resnet20 · seed 0"
    assert (teacher.data.tags["teacher"], teacher.data.tags["stage"]) == ("resnet20", "teacher")
    assert not {"student", "row"} & teacher.data.tags.keys()
    assert teacher.data.params["teacher"] == "none"


def test_the_data_set_is_an_input_of_every_trial(tracked: Tracked, small_plan: Plan) -> None:
    content = small_plan.slots[0].config["dataset"]["content"]
    for name, key in tracked.told.keys.items():
        (used,) = tracked.runs[key].inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("digits", content), name
        assert json.loads(used.dataset.source) == {"image_size": 8}


def test_metrics_are_per_epoch_with_the_ledgers_times(tracked: Tracked) -> None:
    key = tracked.told.keys["kd"]
    found = points(tracked.uri, tracked.runs[key])
    times = {event.epoch: int(event.time * 1000) for event in tracked.told.ledger.events("epoch", trial=key)}
    expected: dict[str, list[tuple[int, int, float]]] = {}
    for epoch, (test, val) in enumerate(zip([80.0, 90.0, 85.0], [70.0, 80.0, 75.0], strict=True), start=1):
        for name, value in epoch_metrics(epoch_body(epoch, test, val)).items():
            expected.setdefault(name, []).append((epoch, times[epoch], value))
    summary = {"best_epoch": 2.0, "best_test_acc": 90.0, "train_seconds": 6.0, "accuracy/resnet20-resnet8": 85.0}
    assert {name: [point[2] for point in found.pop(name)] for name in summary} == {k: [v] for k, v in summary.items()}
    assert found == expected
    assert {"loss", "term/kd", "val_acc", "test_acc", "lr", "images_per_second"} <= set(found)


def test_each_run_ends_as_its_trial_did(tracked: Tracked) -> None:
    ledger, keys, found = tracked.told.ledger, tracked.told.keys, tracked.runs
    assert {name: found[key].info.status for name, key in keys.items()} == {
        "teacher": "FINISHED",
        "scratch": "FINISHED",
        "kd": "FINISHED",
        "diverged": "FAILED",
        "failed": "FAILED",
        "interrupted": "KILLED",
        "running": "RUNNING",
    }
    diverged, failed = found[keys["diverged"]].data.tags, found[keys["failed"]].data.tags
    assert (diverged["state"], diverged["reason"]) == ("diverged", "loss term 'kd' became nan at epoch 2, step 1")
    assert (failed["state"], failed["reason"], failed["log"]) == ("failed", "ValueError: no", "log.txt")
    assert found[keys["kd"]].data.tags["state"] == "finished"
    (final,) = ledger.events("final", trial=keys["kd"])
    (start,) = ledger.events("start", trial=keys["kd"])
    assert found[keys["kd"]].info.end_time == int(final.time * 1000)
    assert found[keys["kd"]].info.start_time == int(start.time * 1000)


def test_an_interrupted_trial_says_so_in_its_state(tracked: Tracked) -> None:
    assert tracked.runs[tracked.told.keys["interrupted"]].data.tags["state"] == "interrupted"


@pytest.mark.parametrize(("code", "status"), [(0, "FINISHED"), (1, "FINISHED"), (130, "KILLED"), (2, "FAILED")])
def test_the_parent_ends_as_the_driver_did(
    root: Root, ledger: Ledger, small_plan: Plan, uri: str, code: int, status: str
) -> None:
    begin(ledger, small_plan)
    sync(root, "small", uri)
    assert runs(uri)["sweep"].info.status == "RUNNING"
    ledger.append("stop", body={"exit_code": code})
    sync(root, "small", uri)
    assert runs(uri)["sweep"].info.status == status
    begin(ledger, small_plan)
    sync(root, "small", uri)
    assert runs(uri)["sweep"].info.status == "RUNNING"


def below_the_headline(board: Leaderboard) -> str:
    """The table as Markdown, without the sentence that stands above it."""
    return draw.render(board, Format.MARKDOWN).removeprefix(f"{headline(board)}\n\n")


def test_the_parent_holds_the_spec_the_table_and_the_figure(
    tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    client, run = MlflowClient(tracking_uri=tracked.uri), tracked.runs["sweep"]
    board = leaderboard(tracked.told.ledger)
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith(f"{headline(board)}\n\n")
    assert note.endswith(below_the_headline(board))
    assert note.count(headline(board)) == 1
    assert f"![accuracy by method](get-artifact?path=figure-small.png&run_uuid={run.info.run_id})" in note
    assert (
        f"](#/experiments/{run.info.experiment_id}/runs?viewStateShareKey=table&compareRunsMode=TABLE&workflowType=machine_learning)"
        in note
    )
    assert {name: run.data.tags[name] for name in ("dataset", "protocol", "baseline", "stage")} == {
        "dataset": "digits",
        "protocol": "validation",
        "baseline": "kd",
        "stage": "sweep",
    }
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {"spec.yaml", "leaderboard.md", "leaderboard.json", "figure.png", "figure-small.png"}
    download = {name: Path(client.download_artifacts(run.info.run_id, name, str(tmp_path))) for name in names}
    assert download["spec.yaml"].read_text() == small_spec().text
    assert download["leaderboard.md"].read_text() == draw.render(board, Format.MARKDOWN)
    assert download["figure.png"].read_bytes() == tracked.told.paths.figure.read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.uri)
    table = MlflowClient().load_table(run.info.experiment_id, "leaderboard.json", run_ids=[run.info.run_id])
    assert list(table["label"]) == [record["label"] for record in records.records(board)]
    assert list(table["n"]) == [1, 1, 0, 0]


def test_artifacts_lie_below_the_root(tracked: Tracked) -> None:
    root = tracked.told.root
    assert tracked.runs["sweep"].info.artifact_uri.startswith(f"file://{root.artifacts}/small/")
    assert sorted(file.name for file in root.artifacts.rglob("*.*")) == [
        "figure-small.png",
        "figure.png",
        "leaderboard.json",
        "leaderboard.md",
        "spec.yaml",
    ]


def test_a_long_table_is_delivered_too(root: Root, ledger: Ledger, small_plan: Plan, uri: str) -> None:
    begin(ledger, small_plan)
    markdown = "| a row of a long table |\n" * 20_000
    ledger.append("report", body={"markdown": markdown, "records": [], "figure": None})
    assert sync(root, "small", uri) == 3
    note = runs(uri)["sweep"].data.tags["mlflow.note.content"]
    assert len(note) <= LONGEST_TAG
    assert note.count("| a row of a long table |\n") > 200
    assert note.endswith("| a row of a long table |\n\n… the whole table: `leaderboard.md` among the artifacts")


def test_a_row_of_the_table_is_a_group_of_runs_also_where_a_search_has_found_it(
    root: Root, ledger: Ledger, uri: str
) -> None:
    """The search's own trial is the first seed of what it has won; a larger search may win with another."""
    for trials, winner in ((2, 3), (3, 4)):
        search = {"trials": trials, "sampler": "grid", "pruner": "none"}
        plan = build_plan(small_spec(methods=[{"gdkd": {"k": {"choice": [2, 3, 4]}}}], search=search))
        play(ledger, plan, lambda slot: 70.0 + slot.varied["k"])
        sync(root, "small", uri)
        rows = {run.info.run_name: run.data.tags.get("row", "") for key, run in runs(uri).items() if key != "sweep"}
        row = f"gdkd k={winner} tuned"
        assert {name for name, found in rows.items() if found == row} == {
            f"resnet20→resnet8 · gdkd k={winner} · search · seed 0",
            f"resnet20→resnet8 · {row} · seed 1",
        }


@pytest.mark.slow(1)
def test_the_description_follows_a_sweep_that_grows(
    root: Root, ledger: Ledger, paths: SweepPaths, keys: dict[str, str], uri: str, small_plan: Plan
) -> None:
    sync(root, "small", uri)
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "dhkd α=1", 1), [71.5] * 3, val_accs=[71.5] * 3)
    sync(root, "small", uri)
    note = runs(uri)["sweep"].data.tags["mlflow.note.content"]
    assert "| dhkd α=1 | 71.50 (1) |" in note
    assert note.startswith(headline(leaderboard(ledger)))
    assert note.endswith(below_the_headline(leaderboard(ledger)))
    assert "get-artifact?path=figure-small.png" in note


def test_the_projector_describes_what_it_has_delivered(
    root: Root, ledger: Ledger, paths: SweepPaths, small_plan: Plan, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(projector_module, "REFRESH_SECONDS", 0.0)
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "kd"), [80.0, 90.0], val_accs=[70.0, 80.0])
    projector = Projector(root, paths, uri, print)
    projector.start()
    assert projector.close() == 0
    assert "| kd | 90.00 (1) |" in runs(uri)["sweep"].data.tags["mlflow.note.content"]


def test_the_experiment_says_where_to_look_and_holds_the_views(tracked: Tracked) -> None:
    from mlflow import MlflowClient

    experiment = MlflowClient(tracking_uri=tracked.uri).get_experiment_by_name("small")
    parent = tracked.runs["sweep"].info.run_id
    number = experiment.experiment_id
    note = experiment.tags["mlflow.note.content"]
    assert note.startswith(f"{headline(leaderboard(tracked.told.ledger))}\n\n")
    assert f"](#/experiments/{number}/runs/{parent})" in note
    views = {name for name in experiment.tags if name.startswith("mlflow.sharedViewState.")}
    assert {"mlflow.sharedViewState.table", "mlflow.sharedViewState.sensitivity-dhkd"} <= views


def test_a_runs_source_is_the_spec(root: Root, ledger: Ledger, small_plan: Plan, uri: str) -> None:
    ledger.append("sweep", body={"spec": "name: small\n", "source": "small.yaml", "host": "here", "pid": 1})
    ledger.append("plan", body=small_plan.to_json())
    key = record(ledger, small_plan, slot_of(small_plan, "kd"), [80.0])
    sync(root, "small", uri)
    assert {run.data.tags["mlflow.source.name"] for run in runs(uri).values()} == {"small.yaml"}
    assert set(runs(uri)) == {"sweep", key}


# -- again and again ----------------------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_delivering_everything_twice_changes_nothing(
    root: Root, ledger: Ledger, paths: SweepPaths, keys: dict[str, str], uri: str
) -> None:
    sync(root, "small", uri)
    before = picture(uri)
    assert sync(root, "small", uri) == 0
    forget(paths)
    assert sync(root, "small", uri) == ledger.last_seq()
    assert picture(uri) == before


@pytest.mark.slow(2)
def test_the_size_of_a_delivery_does_not_matter(
    root: Root, keys: dict[str, str], new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new_store("whole.db")
    sync(root, "small", whole)
    for batch in (1, 3):
        monkeypatch.setattr(delivery, "BATCH", batch)
        parts = new_store(f"{batch}.db")
        sync(root, "small", parts)
        assert same_everywhere(parts) == same_everywhere(whole)


@pytest.mark.slow(2)
def test_a_delivery_that_breaks_off_anywhere_is_completed_by_the_next(
    root: Root,
    ledger: Ledger,
    paths: SweepPaths,
    keys: dict[str, str],
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server's side breaks once, after each of the kinds of request; what it has taken by then stays."""
    from mlflow import MlflowClient

    whole = new_store("whole.db")
    sync(root, "small", whole)
    expected = same_everywhere(whole)
    for name in ("log_batch", "log_inputs", "set_terminated"):
        broken = new_store(f"{name}.db")
        real = getattr(MlflowClient, name)

        def once(*args: Any, _real: Any = real, **kwargs: Any) -> None:
            _real(*args, **kwargs)
            raise ConnectionResetError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, name, once)
            with pytest.raises(StorageError, match="gone"):
                sync(root, "small", broken)
        sync(root, "small", broken)
        assert same_everywhere(broken) == expected, name


@pytest.mark.slow(1)
def test_a_trial_that_goes_on_in_a_later_run_stays_one_run(
    root: Root, ledger: Ledger, keys: dict[str, str], uri: str, small_plan: Plan
) -> None:
    sync(root, "small", uri)
    before = points(uri, runs(uri)[keys["interrupted"]])
    begin(ledger, small_plan)
    record(ledger, small_plan, slot_of(small_plan, "dhkd α=0.5"), [50.0, 60.0, 70.0], val_accs=[5.0, 6.0, 7.0])
    sync(root, "small", uri)
    run = runs(uri)[keys["interrupted"]]
    assert run.info.status == "FINISHED"
    assert run.data.tags["state"] == "finished"
    after = points(uri, run)
    assert [value for _, _, value in after["test_acc"]] == [50.0, 60.0, 70.0]
    assert after["test_acc"][0] == before["test_acc"][0]


@pytest.mark.slow(1)
def test_another_sweep_of_the_same_name_stays_apart(
    root: Root, keys: dict[str, str], uri: str, small_plan: Plan, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    sync(root, "small", uri)
    other = Root(tmp_path / "other")
    with Ledger(other.sweep("small").ledger) as ledger:
        begin(ledger, small_plan)
        record(ledger, small_plan, slot_of(small_plan, "kd"), [1.0], val_accs=[1.0])
        sync(other, "small", uri)
        client = MlflowClient(tracking_uri=uri)
        (experiment,) = [found for found in client.search_experiments() if found.name == "small"]
        everything = client.search_runs([experiment.experiment_id])
        mine = [run for run in everything if run.data.tags["sweep.id"] == ledger.id]
    assert len(mine) == 2
    assert len(everything) == 2 + 1 + len(keys)


@pytest.mark.slow(1)
def test_a_store_that_lost_everything_is_told_everything_again(
    root: Root, ledger: Ledger, keys: dict[str, str], new_store: NewStore
) -> None:
    first, emptied = new_store("first.db"), new_store("emptied.db")
    sync(root, "small", first)
    ledger.set_fact(fact(emptied), str(ledger.last_seq()))
    ledger.append("stop", body={"exit_code": 1})
    sync(root, "small", first)
    sync(root, "small", emptied)
    assert same_everywhere(emptied) == same_everywhere(first)


@pytest.mark.slow(1)
def test_a_run_that_was_deleted_by_hand_does_not_stop_the_delivery(
    root: Root, ledger: Ledger, keys: dict[str, str], uri: str
) -> None:
    from mlflow import MlflowClient

    sync(root, "small", uri)
    MlflowClient(tracking_uri=uri).delete_run(runs(uri)[keys["running"]].info.run_id)
    ledger.append("epoch", keys["running"], 2, epoch_body(2, 60.0, 6.0))
    ledger.append("stop", body={"exit_code": 0})
    sync(root, "small", uri)
    assert delivered(ledger, uri) == ledger.last_seq()


@pytest.mark.slow(1)
def test_more_events_than_one_delivery_takes_arrive(root: Root, ledger: Ledger, small_plan: Plan, uri: str) -> None:
    begin(ledger, small_plan)
    tests = [50 + n / 20 for n in range(delivery.BATCH + 100)]
    key = record(ledger, small_plan, slot_of(small_plan, "kd"), tests, val_accs=tests)
    assert sync(root, "small", uri) == ledger.last_seq()
    assert [value for _, _, value in points(uri, runs(uri)[key])["test_acc"]] == tests


# -- in the background --------------------------------------------------------------------------------------------


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a port on this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_the_projector_delivers_while_the_ledger_grows(
    root: Root, ledger: Ledger, paths: SweepPaths, small_plan: Plan, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "POLL_SECONDS", 0.01)
    notes: list[str] = []
    begin(ledger, small_plan)
    projector = Projector(root, paths, uri, notes.append)
    projector.start()
    key = record(ledger, small_plan, slot_of(small_plan, "kd"), [80.0, 90.0], val_accs=[70.0, 80.0])
    ledger.append("stop", body={"exit_code": 0})
    assert projector.close() == 0
    assert not projector.is_alive()
    assert notes == []
    assert delivered(ledger, uri) == ledger.last_seq()
    assert runs(uri)[key].info.status == "FINISHED"
    assert runs(uri)["sweep"].info.status == "FINISHED"


@pytest.mark.slow(1)
def test_a_server_that_is_away_is_noted_once_and_all_is_delivered_later(
    root: Root,
    ledger: Ledger,
    paths: SweepPaths,
    keys: dict[str, str],
    nobody: str,
    uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projector_module, "POLL_SECONDS", 0.01)
    notes: list[str] = []
    projector = Projector(root, paths, nobody.replace("://", "://me:secret@"), notes.append)
    projector.start()
    while not notes:
        projector.join(0.05)
    projector.join(0.2)
    assert projector.is_alive()
    assert projector.close() == ledger.last_seq()
    assert not projector.is_alive()
    (note,) = notes
    assert note.startswith(f"MLflow at {nobody.replace('://', '://***@')} is away (")
    assert note.endswith("); going on")
    assert "secret" not in note
    assert sync(root, "small", uri) == ledger.last_seq()
    assert set(runs(uri)) == {"sweep", *keys.values()}


@pytest.mark.slow(1)
def test_every_server_has_a_place_of_its_own_in_the_ledger(
    root: Root, ledger: Ledger, keys: dict[str, str], new_store: NewStore
) -> None:
    first, second = new_store("first.db"), new_store("second.db")
    sync(root, "small", first)
    assert delivered(ledger, first) == ledger.last_seq()
    assert delivered(ledger, second) == 0
    sync(root, "small", second)
    assert len(runs(second)) == len(runs(first))


@pytest.mark.slow(1)
def test_who_reads_the_database_below_the_root_does_not_hold_the_sweep_up(
    root: Root, ledger: Ledger, keys: dict[str, str], empty_store: Path
) -> None:
    shutil.copyfile(empty_store, root.mlflow_database)
    own = tracking_uri(root, None)
    sync(root, "small", own)
    with closing(sqlite3.connect(root.mlflow_database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT status FROM runs WHERE name = 'small'").fetchall()
        ledger.append("sweep", body={"spec": "", "source": "", "host": "", "pid": 0})
        assert sync(root, "small", own) == 1
        assert reader.execute("SELECT status FROM runs WHERE name = 'small'").fetchall() == before
    assert runs(own)["sweep"].info.status == "RUNNING"


@pytest.mark.parametrize("kind", ["pruned", "interrupted", "failed"])
def test_a_run_that_came_to_no_good_end_says_where_it_ran(
    kind: Literal["pruned", "interrupted", "failed"],
    root: Root,
    ledger: Ledger,
    small_plan: Plan,
    new_store: NewStore,
) -> None:
    uri = new_store()
    begin(ledger, small_plan)
    key = record(ledger, small_plan, slot_of(small_plan, "kd"), [70.0], state="running")
    broken = {"reason": "no", "log": ""} if kind == "failed" else {}
    ledger.append(kind, key, body=broken | {"ran_on": {"host": "there", "gpu": "H100"}})
    sync(root, "small", uri)
    tags = runs(uri)[key].data.tags
    assert (tags["state"], tags["ran_on.host"], tags["ran_on.gpu"]) == (kind, "there", "H100")
