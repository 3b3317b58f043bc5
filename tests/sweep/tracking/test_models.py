"""Trained networks in MLflow: what is logged, that it computes what the weights compute, and that nothing is twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from sweep.engine.attempt import Attempt
from sweep.engine.job import Job, describe
from sweep.layout import Root
from sweep.ledger.bodies import final_body, start_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.plan.teachers import store_named_files
from sweep.tracking.address import quiet_mlflow
from sweep.tracking.candidates import allowed, candidates
from sweep.tracking.models import Outcome, passport_tags
from sweep.tracking.sync import log_models, sync, told_everything
from tests.support.examples import begin, play, record, slot_of, small_spec
from tests.support.mlflow_server import TrackingServer
from trainers.config import Normalisation, TeacherConfig
from trainers.errors import StorageError
from trainers.exported import read_network
from trainers.fit import seeded_model
from trainers.teacher.store import TeacherStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

pytestmark = pytest.mark.slow(2)

NewStore = Callable[..., str]
GIVEN = Normalisation(mean=0.5, std=0.5)
"""What images are normalised by, which a teacher without a normalisation of its own takes no notice of."""
QUICK = {"base": "digits", "epochs": 1, "warmup_epochs": 0, "samples_per_class": 4, "test_per_class": 4}
SMALLEST = "resnet8 -> resnet8"
"""Of one architecture: to export a network takes a second for every eight of its layers."""
STUDENTS = ["scratch", {"dhkd": {"alpha": [0.5, 1]}}, "simkd", "dho"]


def trained(root: Root, methods: list[Any], name: str = "small", pair: str = SMALLEST) -> None:
    """A sweep below `root`, trained without Ray, reported to nobody yet."""
    spec = small_spec(name=name, recipe=QUICK, pairs=[pair], methods=methods, seeds=1)
    plan = build_plan(spec)
    with Ledger(root.sweep(name).ledger) as ledger:
        begin(ledger, plan, spec)
        teacher: TeacherConfig | None = None
        for slot in plan.slots:
            job = Job(slot, slot.trial(teacher if slot.teacher else None))
            teacher = _train(ledger, plan, root, job) or teacher
        ledger.append("stop", body={"exit_code": 0})


def _train(ledger: Ledger, plan: Plan, root: Root, job: Job) -> TeacherConfig | None:
    ledger.append("start", job.key, body=start_body(job.slot, job.trial))
    report = Attempt(describe(job, plan, root)).step()
    assert report["state"] == "finished", report
    for epoch in report["epochs"]:
        ledger.append("epoch", job.key, epoch["epoch"], epoch)
    made = {"teacher": report["teacher"]} if "teacher" in report else {}
    ledger.append("final", job.key, body=final_body("finished", report["epochs"], plan.protocol) | made)
    return TeacherConfig.model_validate(made["teacher"]) if made else None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[tuple[Root, str]]:
    """A sweep whose models are in a store; for tests that only look."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copyfile(empty_store, folder / "mlflow.db")
    root, uri = Root(folder / "runs"), f"sqlite:///{folder}/mlflow.db"
    trained(root, STUDENTS, pair="resnet14 -> resnet8")
    assert deliver(root, uri) == Outcome(logged=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield root, uri


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = Root(tmp_path_factory.mktemp("little") / "runs")
    trained(root, ["kd"])
    return root


@pytest.fixture
def root(little: Root, tmp_path: Path) -> Root:
    """A sweep of one teacher and one student, which no server knows."""
    shutil.copytree(little.path, tmp_path / "runs")
    return Root(tmp_path / "runs")


@pytest.fixture
def uri(new_store: NewStore) -> str:
    return new_store()


def deliver(root: Root, uri: str, name: str = "small") -> Outcome:
    sync(root, name, uri)
    return log_models(root, name, uri, lambda _: None)


def client_of(uri: str) -> MlflowClient:
    quiet_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def models(uri: str, name: str = "small") -> list[LoggedModel]:
    """All models of a sweep's experiment, half ones too."""
    client = client_of(uri)
    experiment = client.get_experiment_by_name(name)
    return list(client.search_logged_models([experiment.experiment_id]))


def student(uri: str, method: str) -> LoggedModel:
    (found,) = [model for model in models(uri) if model.tags.get("method") == method]
    return found


# -- what is there --------------------------------------------------------------------------------------------------


def test_the_best_of_each_cell_and_the_teacher_are_logged_with_signature_and_example(shared: tuple[Root, str]) -> None:
    from mlflow.models import get_model_info

    found = {model.name: model for model in models(shared[1])}
    assert set(found) == {"resnet14-teacher", "resnet8-scratch", "resnet8-dhkd", "resnet8-simkd", "resnet8-dho"}
    for model in found.values():
        info = get_model_info(f"models:/{model.model_id}")
        assert info.signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 3, 8, 8)}
        assert info.signature.outputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 10)}
        assert info.saved_input_example_info["type"] == "ndarray"
        assert len(info.metadata["mean"]) == len(info.metadata["std"]) == 3
    dhkd = found["resnet8-dhkd"]
    assert dhkd.tags["label"].startswith("dhkd α=")
    assert (dhkd.tags["pair"], dhkd.tags["seed"], dhkd.tags["best"]) == ("resnet14→resnet8", "0", "true")


def test_a_model_stands_at_its_run_with_the_runs_accuracies(shared: tuple[Root, str]) -> None:
    client, model = client_of(shared[1]), student(shared[1], "dhkd")
    run = client.get_run(model.source_run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert run.info.run_name == f"resnet14→resnet8 · {model.tags['label']} · seed 0"
    accuracies = {metric.key: metric.value for metric in client.get_logged_model(model.model_id).metrics}
    assert accuracies == {name: run.data.metrics[name] for name in ("test_acc", "val_acc", "train_acc")}
    assert len(client.get_metric_history(run.info.run_id, "test_acc")) == 1


@pytest.mark.parametrize("method", ["dhkd", "simkd", "dho"])
def test_a_loaded_model_computes_what_the_stored_weights_compute(
    shared: tuple[Root, str], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MLflow told to refuse pickles; in batches of other sizes than the example's."""
    from mlflow import pytorch

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    root, uri = shared
    model = student(uri, method)
    loaded = pytorch.load_model(f"models:/{model.model_id}")
    weights = root.sweep("small").trial(model.tags["sweep.model"]) / "weights.pt"
    for count in (1, 5):
        images = torch.randn(count, 3, 8, 8)
        torch.testing.assert_close(loaded(images), read_network(weights, 10, (8, 8))(images))


def test_nothing_but_the_graph_is_left(shared: tuple[Root, str]) -> None:
    root, _ = shared
    assert {file.name for file in root.artifacts.rglob("data/*")} == {"model.pt2"}
    assert [path for path in root.sweep("small").folder.iterdir() if path.name.startswith(".model")] == []


def test_a_teacher_is_a_registered_model_whose_version_carries_its_passport(shared: tuple[Root, str]) -> None:
    from mlflow import pytorch

    root, uri = shared
    store = TeacherStore(root.teachers)
    (passport,) = store.passports()
    (version,) = client_of(uri).search_model_versions("name = 'resnet14-digits'")
    assert version.tags == passport_tags(passport)
    assert (version.tags["hash"], version.tags["origin"]) == (passport.hash, f"trial {passport.origin_key}")
    assert json.loads(version.tags["recipe"])["epochs"] == 1
    images = torch.randn(3, 3, 8, 8)
    loaded = pytorch.load_model("models:/resnet14-digits/1")
    torch.testing.assert_close(loaded(images), store.network(passport, GIVEN)(images))


# -- again and again ------------------------------------------------------------------------------------------------


def test_two_deliveries_log_everything_once(root: Root, uri: str) -> None:
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        sync(root, "small", uri)
        assert not told_everything(ledger, uri)
        assert log_models(root, "small", uri, lambda _: None).logged == 2
        assert told_everything(ledger, uri)
    before = {model.model_id: (model.tags, len(model.metrics)) for model in models(uri)}
    assert deliver(root, uri) == Outcome()
    assert {model.model_id: (model.tags, len(model.metrics)) for model in models(uri)} == before


def test_another_sweep_with_the_same_teacher_adds_no_version(root: Root, uri: str) -> None:
    deliver(root, uri)
    trained(root, ["scratch", "kd"], name="again")
    assert deliver(root, uri, "again") == Outcome(logged=2)
    assert len(client_of(uri).search_model_versions("name = 'resnet8-digits'")) == 1


def test_a_delivery_that_breaks_off_anywhere_is_completed_by_the_next(
    root: Root, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's side breaks at one kind of request after the other, before it does what it is asked."""
    from mlflow import MlflowClient

    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("gone")

    sync(root, "small", uri)
    for step in ("log_model_artifacts", "finalize_logged_model", "log_batch", "log_outputs", "create_model_version"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, step, broken)
            with pytest.raises(StorageError, match="gone"):
                log_models(root, "small", uri, lambda _: None)
    assert log_models(root, "small", uri, lambda _: None).refused == []
    assert sorted(model.name for model in models(uri)) == ["resnet8-kd", "resnet8-teacher"]
    client = client_of(uri)
    for model in models(uri):
        assert [one.model_id for one in client.get_run(model.source_run_id).outputs.model_outputs] == [model.model_id]
    assert len(client.search_model_versions("name = 'resnet8-digits'")) == 1


def test_a_server_that_is_away_is_one_sentence_and_is_told_later(root: Root, uri: str) -> None:
    with pytest.raises(StorageError, match=r"MLflow at http://127.0.0.1:9 does not answer .*; try again later"):
        log_models(root, "small", "http://127.0.0.1:9", lambda _: None)
    assert deliver(root, uri) == Outcome(logged=2)


def test_weights_that_other_machines_made_are_fetched_from_the_storage(root: Root, uri: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sweeps/small").mkdir(parents=True)
    shutil.move(root.teachers, elsewhere / "teachers")
    shutil.move(root.sweep("small").folder / "trials", elsewhere / "sweeps/small/trials")
    assert deliver(Root.at(root.path, str(elsewhere)), uri) == Outcome(logged=2)


def test_weights_that_are_gone_or_damaged_are_named_and_do_not_stop_the_others(root: Root, uri: str) -> None:
    trained(root, ["scratch", "kd", "dkd"], name="again")
    place = root.sweep("again")
    with closing(Ledger(place.ledger)) as ledger:
        keys = {one.made_by: one.id for one in candidates(ledger)}
    (place.trial(keys["scratch"]) / "weights.pt").unlink()
    (place.trial(keys["kd"]) / "weights.pt").write_bytes(b"no weights")
    outcome = deliver(root, uri, "again")
    assert outcome.logged == 2
    gone, damaged = outcome.refused
    assert gone.startswith("resnet8-scratch (") and "No such file" in gone
    assert damaged.startswith("resnet8-kd (") and "cannot be read as a torch weight file" in damaged
    client = client_of(uri)
    query = f"tags.`sweep.key` = '{keys['scratch']}'"
    (run,) = client.search_runs([client.get_experiment_by_name("again").experiment_id], query)
    assert run.data.tags["model"].startswith("not logged: weights ")


def without_its_code(root: Root, name: str) -> None:
    """As if a sweep had come with code of its user's, which is gone."""
    with closing(Ledger(root.sweep(name).ledger)) as ledger:
        plan = ledger.latest("plan")
        assert plan is not None
        ledger.append("plan", body=plan.body | {"code": "0123456789abcdef"})


def test_code_that_is_gone_keeps_no_network_from_its_server_that_needs_none(root: Root, uri: str) -> None:
    without_its_code(root, "small")
    assert deliver(root, uri) == Outcome(logged=2)


def test_a_network_whose_code_is_gone_is_named_with_the_code(root: Root, uri: str) -> None:
    without_its_code(root, "small")
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        key = next(one.id for one in candidates(ledger) if not one.is_teacher)
    weights = root.sweep("small").trial(key) / "weights.pt"
    torch.save(torch.load(weights) | {"architecture": "tinynet"}, weights)
    outcome = deliver(root, uri)
    assert outcome.logged == 1
    network, code = outcome.refused
    assert "unknown model 'tinynet'" in network
    assert code.startswith("the sweep's own code is missing here: ")


def test_a_run_that_was_broken_off_leaves_its_models_to_the_next(root: Root, uri: str) -> None:
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        ledger.append("stop", body={"exit_code": 130})
    assert deliver(root, uri) == Outcome()


def test_a_server_is_given_models_and_versions_too(
    root: Root, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import pytorch

    server = TrackingServer(tmp_path, empty_store)
    try:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        assert deliver(root, server.uri) == Outcome(logged=2)
        assert deliver(root, server.uri) == Outcome()
        (version,) = client_of(server.uri).search_model_versions("name = 'resnet8-digits'")
        store = TeacherStore(root.teachers)
        assert version.tags == passport_tags(store.passport(version.tags["hash"]))
        images = torch.randn(3, 3, 8, 8)
        ours = store.network(store.passport(version.tags["hash"]), GIVEN)
        torch.testing.assert_close(pytorch.load_model("models:/resnet8-digits/1")(images), ours(images))
    finally:
        server.kill()


def test_a_teacher_of_another_normalisation_is_logged_with_it(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import pytorch

    network = seeded_model("resnet8", 10, seed=3).eval()
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    pair = {f"{tmp_path / 'theirs.pth'} -> resnet8": {"teacher": {"mean": 0.5, "std": 0.5}}}
    spec, root = small_spec(recipe=QUICK, pairs=[pair], methods=["kd"], seeds=1), Root(tmp_path / "runs")
    store = TeacherStore(root.teachers)
    store_named_files(spec, store, lambda line: None)
    plan = build_plan(spec, store)
    with Ledger(root.sweep("small").ledger) as ledger:
        begin(ledger, plan, spec)
        for slot in plan.slots:
            _train(ledger, plan, root, Job(slot, slot.trial()))
        ledger.append("stop", body={"exit_code": 0})
    assert deliver(root, uri) == Outcome(logged=2)
    (version,) = client_of(uri).search_model_versions("name = 'resnet8-digits'")
    assert version.tags["normalisation"] == "mean 0.5, 0.5, 0.5, std 0.5, 0.5, 0.5"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    pixels = torch.rand(3, 3, 8, 8)
    mean, std = (torch.tensor(plan.images[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    logged = pytorch.load_model("models:/resnet8-digits/1")((pixels - mean) / std)
    torch.testing.assert_close(logged, network((pixels - 0.5) / 0.5), rtol=1e-4, atol=1e-4)


# -- which are logged -----------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(Root(tmp_path / "other").sweep("small").ledger) as opened:
        yield opened


def accuracies(ledger: Ledger, plan: Plan, reached: Callable[[Slot], float]) -> None:
    begin(ledger, plan)
    for slot in plan.slots:
        record(ledger, plan, slot, [100 - reached(slot)], val_accs=[reached(slot)])


@pytest.mark.parametrize(("how", "count"), [("best", 1 + 3), ("all", 1 + 8), ("none", 0)])
def test_the_spec_says_which_are_logged(ledger: Ledger, how: str, count: int) -> None:
    plan = build_plan(small_spec(tracking={"models": how}))
    accuracies(ledger, plan, lambda slot: 50.0 + slot.seed)
    assert len(candidates(ledger)) == count


def test_the_best_is_chosen_among_rows_and_seeds_by_validation(ledger: Ledger) -> None:
    plan = build_plan(small_spec())
    best = slot_of(plan, "dhkd α=0.5", 1)
    accuracies(ledger, plan, lambda slot: 90.0 if slot == best else 50.0)
    (chosen,) = [one for one in candidates(ledger) if one.made_by == "dhkd"]
    assert (chosen.tags["label"], chosen.tags["seed"], chosen.best) == ("dhkd α=0.5", "1", True)


def test_under_the_papers_protocol_the_best_test_accuracy_chooses(ledger: Ledger) -> None:
    plan = build_plan(small_spec(protocol="paper"))
    begin(ledger, plan)
    for slot in plan.slots:
        record(ledger, plan, slot, [70.0 + slot.seed, 60.0])
    assert {one.tags["seed"] for one in candidates(ledger) if one.made_by != "teacher"} == {"1"}


def test_a_searchs_trials_are_logged_only_if_all_are_or_they_have_won(ledger: Ledger) -> None:
    search = {"trials": 3, "sampler": "grid", "pruner": "none"}
    plan = build_plan(small_spec(methods=[{"gdkd": {"k": {"choice": [2, 3, 4]}}}], seeds=1, search=search))
    play(ledger, plan, lambda slot: 70.0 + slot.varied["k"])
    (chosen,) = [one for one in candidates(ledger) if one.made_by == "gdkd"]
    assert chosen.tags["label"] == "gdkd k=4 tuned"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("imagenet/ResNet18-teacher", "imagenet-ResNet18-teacher"), ("timm:vit_b.augreg", "timm-vit_b-augreg")],
)
def test_names_are_such_as_mlflow_takes(name: str, expected: str) -> None:
    assert allowed(name) == expected
