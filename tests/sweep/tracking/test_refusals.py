"""What a server refuses is set aside and named, and everything else arrives; what it lacks is tried again later."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.layout import Root, SweepPaths
from sweep.ledger.bodies import start_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.tracking import projector as projector_module
from sweep.tracking import teller
from sweep.tracking.mlflow_internals import LONGEST_RUN_NAME
from sweep.tracking.progress import Progress, delivered
from sweep.tracking.projector import Projector
from sweep.tracking.sync import sync
from tests.support.boards import tell
from tests.support.examples import begin, job_of, play, record, slot_of, small_spec
from tests.support.tracked import Decide, client_of, content, copy_store, faults, runs
from trainers.errors import StorageError

NewStore = Callable[..., str]

FEW = {("kd", 0): 90.0, ("dhkd α=0.5", 0): 91.0, ("dhkd α=0.5", 1): 94.0}
"""Trials, besides the teacher's, and their accuracies."""


@pytest.fixture(scope="module")
def whole(
    small_plan: Plan, opened_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The ledger of a small sweep, and what a store holds of it that takes everything."""
    folder = tmp_path_factory.mktemp("whole")
    paths = Root(folder).sweep("small")
    with Ledger(paths.ledger) as ledger:
        tell(ledger, small_plan, FEW)
        ledger.append("stop", body={"exit_code": 0})
    shutil.copyfile(opened_store, folder / "whole.db")
    uri = f"sqlite:///{folder / 'whole.db'}"
    sync(Root(folder), "small", uri)
    return paths.ledger, content(uri)


@pytest.fixture
def expected(ledger: Ledger, paths: SweepPaths, whole: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    """What a store holds that takes everything, of the sweep that `ledger` holds."""
    copy_store(str(whole[0]), str(paths.ledger))
    return whole[1]


def refusing(name: str, word: str) -> Decide:
    """A server that does not take requests of one kind that hold a word."""
    return lambda request, given: "refused" if request == name and word in repr(_plain(given)) else None


def _plain(given: Any) -> Any:
    return [[vars(one) for one in some] if isinstance(some, list) else some for some in given]


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("request_", "word", "what"),
    [
        ("set_experiment_tag", "sharedViewState.curves", "the view 'curves'"),
        ("log_batch", "term/kd", "metric 'term/kd' of resnet20→resnet8 · dhkd α=0.5 · seed 0"),
        ("log_batch", "order.0", "tag 'order.0' of the sweep"),
        ("log_text", "spec.yaml", "spec.yaml"),
        ("log_inputs", "training", "the data set of resnet20→resnet8 · kd · seed 0"),
        ("create_run", "dhkd α=0.5 · seed 1", "the run resnet20→resnet8 · dhkd α=0.5 · seed 1"),
        ("set_terminated", "FINISHED", "the end of teacher resnet20 · seed 0"),
    ],
)
def test_what_is_refused_is_named_and_all_else_arrives(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore, request_: str, word: str, what: str
) -> None:
    uri = new_store()
    said: list[str] = []
    with faults(refusing(request_, word)):
        assert sync(root, "small", uri, said.append) == ledger.last_seq()
    assert delivered(ledger, uri) == ledger.last_seq()
    refused = Progress(ledger, uri).refused
    assert what in {one.what for one in refused}
    assert {one.why for one in refused} == {"not of my liking"}
    (sentence,) = said
    assert sentence.startswith(f"MLflow at {uri} refused {len(refused)} of what it was told; the ledger has it, and ")
    assert f"{refused[0].what} (not of my liking)" in sentence
    held = content(uri)
    assert len(held) == len(expected) - (request_ == "create_run")
    assert held != expected
    said.clear()
    assert sync(root, "small", uri, said.append) == 0  # the server has thought better of it
    assert (content(uri), said, Progress(ledger, uri).refused) == (expected, [], [])


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("request_", "word", "goes_on"),
    [
        ("set_experiment_tag", "sharedViewState.curves", False),
        ("log_text", "leaderboard.md", False),
        ("log_text", "spec.yaml", False),
        ("log_text", "spec.yaml", True),
    ],
)
def test_what_is_tried_again_is_the_latest_of_its_kind(
    root: Root, ledger: Ledger, new_store: NewStore, request_: str, word: str, goes_on: bool
) -> None:
    for methods in (["kd"], ["scratch", {"dhkd": {"alpha": [0.5, 1]}}]):
        begin(ledger, build_plan(small_spec(methods=methods)))
        records = [{"method": str(methods)}]
        ledger.append("report", body={"markdown": f"| {methods} |", "records": records, "figure": None})
        ledger.append("stop", body={"exit_code": 0})
    if goes_on:
        ledger.append("sweep", body={"spec": "name: small\n", "host": "here", "pid": 2})
    uri, whole = new_store(), new_store("whole.db")
    sync(root, "small", whole)
    with faults(refusing(request_, word)):
        sync(root, "small", uri)
    sync(root, "small", uri)
    assert content(uri) == content(whole)
    assert table(uri) == table(whole)
    assert runs(uri)["sweep"].info.status == ("RUNNING" if goes_on else "FINISHED")


def table(uri: str) -> str:
    """The sweep's, as an artifact of its run."""
    client, run = client_of(uri), runs(uri)["sweep"].info.run_id
    return Path(client.download_artifacts(run, "leaderboard.json")).read_text()


def test_what_a_later_plan_was_not_told_yet_is_told_in_its_turn(
    root: Root, ledger: Ledger, new_store: NewStore
) -> None:
    uri, whole = new_store(), new_store("whole.db")
    begin(ledger, build_plan(small_spec(methods=["kd"])))
    with faults(refusing("set_experiment_tag", "sharedViewState.curves")):
        sync(root, "small", uri)
    ledger.append("stop", body={"exit_code": 0})
    begin(ledger, build_plan(small_spec(methods=["scratch"])))
    sync(root, "small", uri)
    sync(root, "small", whole)
    assert content(uri) == content(whole)
    assert Progress(ledger, uri).refused == []


@pytest.mark.slow(1)
def test_of_several_searches_each_is_tried_again(root: Root, ledger: Ledger, new_store: NewStore) -> None:
    search = {"trials": 2, "sampler": "grid", "pruner": "none"}
    methods = [{"gdkd": {"k": {"choice": [2, 3]}}}, {"dhkd": {"alpha": {"choice": [0.5, 1]}}}]
    play(ledger, build_plan(small_spec(methods=methods, seeds=1, search=search)), lambda slot: 70.0)
    uri, whole = new_store(), new_store("whole.db")
    with faults(refusing("log_batch", "'chosen.")):
        sync(root, "small", uri)
    assert content(uri)["sweep"] != content_of_sweep(root, whole)
    sync(root, "small", uri)
    assert content(uri) == content(whole)


def content_of_sweep(root: Root, uri: str) -> Any:
    sync(root, "small", uri)
    return content(uri)["sweep"]


@pytest.mark.slow(1)
def test_of_many_numbers_only_those_that_are_refused_are_missing(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    begin(ledger, small_plan)
    key = record(ledger, small_plan, slot_of(small_plan, "kd"), [float(number) for number in range(8)])
    uri = new_store()
    with faults(refusing("log_batch", "'images_per_second'")):
        sync(root, "small", uri)
    found = client_of(uri).get_metric_history(runs(uri)[key].info.run_id, "test_acc")
    assert [point.value for point in found] == [float(number) for number in range(8)]
    assert "images_per_second" not in runs(uri)[key].data.metrics
    assert runs(uri)[key].data.tags["state"] == "finished"


def test_a_figure_that_cannot_be_read_costs_nothing_else(
    root: Root, ledger: Ledger, paths: SweepPaths, small_plan: Plan, new_store: NewStore
) -> None:
    begin(ledger, small_plan)
    paths.figure.write_bytes(b"no picture")
    ledger.append("report", body={"markdown": "| a table |", "records": [], "figure": paths.figure.name})
    ledger.append("stop", body={"exit_code": 0})
    uri = new_store()
    said: list[str] = []
    sync(root, "small", uri, said.append)
    assert "figure-small.png (UnidentifiedImageError: cannot identify image file" in said[0]
    assert runs(uri)["sweep"].info.status == "FINISHED"


def test_what_was_chosen_in_a_cell_that_no_plan_holds_costs_nothing_else(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    begin(ledger, small_plan)
    ledger.append("chosen", body={"cell": "gone", "chosen": [], "states": {}, "slots": []})
    ledger.append("stop", body={"exit_code": 0})
    uri = new_store()
    sync(root, "small", uri)
    assert runs(uri)["sweep"].info.status == "FINISHED"


def test_an_event_that_cannot_be_told_is_set_aside(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    begin(ledger, small_plan)
    ledger.append("report", body={})
    ledger.append("stop", body={"exit_code": 0})
    uri = new_store()
    said: list[str] = []
    sync(root, "small", uri, said.append)
    assert "what the event 'report' says (KeyError: 'records')" in said[0]
    assert runs(uri)["sweep"].info.status == "FINISHED"


def test_a_request_that_the_server_always_fails_at_is_set_aside_too(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    failing = refusing("set_experiment_tag", "sharedViewState.curves")
    said: list[str] = []
    with faults(lambda name, given: "failed" if failing(name, given) else None):
        sync(root, "small", uri, said.append)
    assert "the view 'curves' (500 (Internal Server Error))" in said[0]
    assert delivered(ledger, uri) == ledger.last_seq()


def test_a_server_that_refuses_everything_is_told_nothing_more(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "MOST_IN_A_ROW", 5)
    uri = new_store()
    one_after_the_other = f"MLflow at {uri} refuses one thing after the other, the last with: not of my liking"
    with (
        faults(lambda name, _: "refused" if name.startswith(("log_", "set_", "update_")) else None) as made,
        pytest.raises(StorageError, match=re.escape(one_after_the_other)),
    ):
        sync(root, "small", uri)
    assert len(made) < 30
    sync(root, "small", uri)
    assert content(uri) == expected


def test_a_deleted_experiment_is_told_as_such_with_the_ways_out(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    sync(root, "small", uri)
    client = client_of(uri)
    number = client.get_experiment_by_name("small").experiment_id
    client.delete_experiment(number)
    ledger.append("stop", body={"exit_code": 0})
    said = f"the experiment 'small' was deleted in MLflow at {uri}; restore it (mlflow experiments restore -x {number})"
    with pytest.raises(StorageError, match=re.escape(said)):
        sync(root, "small", uri)
    client.restore_experiment(number)
    assert sync(root, "small", uri) == 1


def test_one_that_is_deleted_while_it_is_delivered_is_told_the_same_way(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    client = client_of(uri)

    def delete(name: str, _: Any) -> None:
        if name == "log_inputs":
            client.delete_experiment(client.get_experiment_by_name("small").experiment_id)

    with faults(delete), pytest.raises(StorageError, match="the experiment 'small' was deleted in MLflow at"):
        sync(root, "small", uri)


def test_a_run_that_is_deleted_while_it_is_told_is_made_anew(
    root: Root, ledger: Ledger, expected: dict[str, Any], new_store: NewStore
) -> None:
    uri = new_store()
    client = client_of(uri)
    deleted: list[str] = []

    def delete(name: str, given: Any) -> None:
        if name == "set_terminated" and len(deleted) < 2 and given[0] not in deleted:
            deleted.append(given[0])
            client.delete_run(given[0])

    with faults(delete):
        sync(root, "small", uri)
    assert content(uri) == expected


def test_a_long_name_of_a_run_is_cut_since_databases_have_no_room_for_it(
    root: Root, ledger: Ledger, small_plan: Plan, new_store: NewStore
) -> None:
    begin(ledger, small_plan)
    job = job_of(small_plan, slot_of(small_plan, "kd"))
    ledger.append("start", job.key, body=start_body(job.slot, job.trial) | {"name": "n" * 400})
    uri = new_store()
    names: list[str] = []
    with faults(lambda name, given: names.append(given[3]) if name == "create_run" else None):  # type: ignore[func-returns-value]
        sync(root, "small", uri)
    assert [len(name) for name in names] == [len("small"), LONGEST_RUN_NAME]


def test_the_projector_names_at_the_end_what_was_refused(
    root: Root,
    ledger: Ledger,
    paths: SweepPaths,
    expected: dict[str, Any],
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projector_module, "POLL_SECONDS", 0.01)
    uri = new_store()
    notes: list[str] = []
    with faults(refusing("set_experiment_tag", "sharedViewState")):
        projector = Projector(root, paths, uri, notes.append)
        projector.start()
        assert projector.close() == 0
    (note,) = notes
    views = expected["views"]
    assert f"refused {len(views)} of what it was told" in note
    assert note.endswith(f"; and {len(views) - 3} more")
