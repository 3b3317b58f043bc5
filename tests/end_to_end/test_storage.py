"""A sweep whose machines share nothing but a storage has the numbers of one machine."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from search_spaces.loader import parse_spec
from sweep.cli.app import main
from sweep.engine.attempt import Attempt
from sweep.engine.job import Job, describe
from sweep.layout import Root
from sweep.ledger.snapshot import kept
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.command import SMALL, User, repeated
from tests.support.examples import begin, record, small_spec
from tests.support.hosts import wait_for
from tests.support.object_store import KEYS, ObjectStore, serving
from tests.support.troubled_store import tell
from tests.trainers.examples import finish
from trainers.config import TeacherConfig, TrialConfig
from trainers.data import DATASETS
from trainers.fit import fit
from trainers.storage import patient
from trainers.storage.content import tensors_key

pytestmark = pytest.mark.slow(5)

EPOCHS = 4


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(parse_spec(SMALL, "spec.yaml"))


class Machine:
    """A worker with a root of its own."""

    def __init__(self, folder: Path, plan: Plan, name: str) -> None:
        self.root = Root.at(folder / name, str(folder / "shared"))
        self.root.check_writable()
        self._plan = plan

    def trial(self, method: str, teacher: TeacherConfig | None = None) -> Attempt:
        """Takes on the first trial of a method."""
        return Attempt(self.job(method, teacher))

    def job(self, method: str, teacher: TeacherConfig | None = None) -> dict[str, Any]:
        slot = next(slot for slot in self._plan.slots if slot.method == method)
        return describe(Job(slot, slot.trial(teacher)), self._plan, self.root)

    def checkpoints(self, method: str) -> list[str]:
        """Of its first trial, here."""
        return sorted(path.name for path in (Path(self.job(method)["folder"]) / "checkpoints").glob("*"))

    def stored(self, method: str) -> list[str]:
        """The same, in the storage."""
        return sorted(self.root.storage.sizes(Path(self.job(method)["folder"]) / "checkpoints"))


@pytest.fixture
def machines(tmp_path: Path, plan: Plan) -> Iterator[tuple[Machine, Machine]]:
    yield Machine(tmp_path, plan, "one"), Machine(tmp_path, plan, "other")


def to_the_end(attempt: Attempt) -> list[dict[str, Any]]:
    """The epochs of a trial, and its last report."""
    reports = [attempt.step()]
    while not reports[-1]["done"]:
        reports.append(attempt.step())
    assert reports[-1]["state"] == "finished", reports[-1]
    return reports


def epochs(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [repeated(epoch) for report in reports for epoch in report["epochs"]]


def test_a_trial_goes_on_on_another_machine(machines: tuple[Machine, Machine], tmp_path: Path, plan: Plan) -> None:
    one, other = machines
    whole = epochs(to_the_end(Machine(tmp_path / "apart", plan, "third").trial("scratch")))
    first = one.trial("scratch")
    before = [first.step() for _ in range(2)]
    assert len(one.stored("scratch")) == len(one.checkpoints("scratch")) == 2
    first.leave()
    assert one.checkpoints("scratch") == []  # the storage has them
    resumed = to_the_end(other.trial("scratch"))
    assert [epoch["epoch"] for epoch in resumed[0]["epochs"]] == [1, 2, 3]
    assert epochs(resumed) == whole
    assert epochs(before) == whole[:2]
    assert [name[:10] for name in other.stored("scratch")] == ["epoch-0003", "epoch-0004"]
    assert other.checkpoints("scratch") == []
    assert other.root.storage.has(Path(other.job("scratch")["folder"]) / "weights.pt")


def test_a_machine_takes_teacher_and_logits_from_the_storage(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    taught = TeacherConfig.model_validate(to_the_end(one.trial("teacher"))[-1]["teacher"])
    first = to_the_end(one.trial("kd", taught))
    shutil.rmtree(one.root.path)
    second = to_the_end(other.trial("kd", taught))
    assert [epoch["epoch"] for epoch in second[0]["epochs"]] == [1, 2, 3, 4]  # which the storage's checkpoints tell of
    for name in ("checkpoints", "weights.pt"):
        other.root.storage.remove(Path(other.job("kd", taught)["folder"]) / name)
    anew = to_the_end(other.trial("kd", taught))
    assert len(anew) == EPOCHS
    assert epochs(anew) == epochs(second) == epochs(first)
    assert sum(epoch["teacher_images"] for report in first for epoch in report["epochs"]) > 0
    assert sum(epoch["teacher_images"] for report in anew for epoch in report["epochs"]) == 0
    assert list(other.root.teachers.glob("*/weights.pt")) == []  # nothing needed the teacher itself


def test_a_storage_that_goes_away_costs_no_epoch_and_is_named_at_the_end(
    machines: tuple[Machine, Machine],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = machines
    monkeypatch.setattr(patient, "PATIENCE", 0.1)
    trial = one.trial("scratch")
    trial.step()
    (tmp_path / "shared").rename(tmp_path / "away")
    (tmp_path / "shared").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert not trial.step()["done"]
    assert "going on" in caplog.text
    last = trial.step()
    assert (last["state"], [epoch["epoch"] for epoch in last["epochs"]]) == ("failed", [4])
    assert "the storage" in last["reason"]
    assert len(one.checkpoints("scratch")) == 2
    (tmp_path / "shared").unlink()
    (tmp_path / "away").rename(tmp_path / "shared")
    assert len(to_the_end(one.trial("scratch"))) == 1  # nothing is trained again
    assert one.stored("scratch")[-1].startswith("epoch-0004")


# -- the command line --------------------------------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("verb", ["run", "plan", "status", "leaderboard", "report", "export", "sync"])
def test_every_verb_refuses_a_key_in_the_uri_and_does_not_repeat_it(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.yaml").write_text(SMALL)
    what = str(tmp_path / "spec.yaml") if verb in ("run", "plan") else "small"
    err = refused(capsys, verb, what, "--root", str(tmp_path / "runs"), "--storage", "s3://me:opensesame@bucket/x")
    assert err.startswith("sweep: the s3:// URI holds a password or a key; leave it out")
    assert "opensesame" not in err


def test_a_sweep_that_ran_elsewhere_is_looked_at_from_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Root.at(tmp_path / "there", str(tmp_path / "shared"))
    plan = build_plan(small_spec())
    with Ledger(there.sweep("small").ledger) as ledger, kept(there, "small", pytest.fail):
        begin(ledger, plan)
        for slot in plan.slots:
            record(ledger, plan, slot, [90.0])
    monkeypatch.setenv("SWEEP_STORAGE", str(tmp_path / "shared"))
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path / "here"))
    main_to_the_end("status")
    assert f"{len(plan.slots)} finished" in capsys.readouterr().out
    assert "no sweep 'other'" in refused(capsys, "status", "other")
    monkeypatch.delenv("SWEEP_STORAGE")
    main_to_the_end("leaderboard", "small", "--format", "json")  # from the copy
    assert json.loads(capsys.readouterr().out)


def main_to_the_end(*arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code in (0, None)


# -- a whole sweep -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that says what is wrong with the object store."""
    return tmp_path_factory.mktemp("store") / "trouble.json"


@pytest.fixture(scope="module")
def object_store(trouble: Path) -> Iterator[ObjectStore]:
    tell(trouble)
    with serving(trouble=trouble) as store:
        yield store


SHORT = SMALL.replace("[scratch, kd, {dhkd: {alpha: [0.5, 2], head: nonlinear}}]", "[kd, {dhkd: {alpha: 2}}]")
TRIALS = 5


def alone(user: User) -> dict[tuple[str, int], dict[str, Any]]:
    """The numbers of a sweep's trials, each trained here, with nothing but its teacher."""
    data = DATASETS["digits"].model_validate({"image_size": 8}).load()
    trials = [TrialConfig.model_validate(event.body["config"]) for event in user.events("start")]
    found, taught = {}, {}
    for trial in sorted({trial.key: trial for trial in trials}.values(), key=lambda trial: trial.teacher is not None):
        teacher = taught[trial.teacher.hash] if trial.teacher is not None else None
        results, network = finish(fit(trial, data=data, teacher=teacher))
        found |= {(trial.key, result.epoch): repeated(asdict(result)) for result in results}
        taught[tensors_key(network.state_dict())] = network
    return found


@pytest.mark.slow(90)
def test_a_sweep_whose_driver_and_disk_are_lost_goes_on_from_the_object_store(
    object_store: ObjectStore, empty_store: Path, tmp_path: Path
) -> None:
    uri = object_store.uri("end-to-end")
    lost, heir, looker = (User(tmp_path / name, SHORT) for name in ("lost", "heir", "looker"))
    lost.given(empty_store)
    heir.given(empty_store)
    process = lost.start("run", "spec.yaml", "--storage", uri)
    lost.wait_for(lambda: len(lost.events("final")) >= 2 and len(lost.events("epoch")) >= 7, process)
    os.kill(process.pid, signal.SIGKILL)
    lost.end(process)
    trained = lost.numbers()
    assert len(lost.events("final")) < TRIALS
    lost.root.path.rename(tmp_path / "out of reach")  # in one step: workers without a driver may still be writing

    done = heir.in_process("run", "spec.yaml", "--local", SWEEP_STORAGE=uri)
    assert done.code == 0, done.out + done.err
    assert len(heir.events("final")) == TRIALS
    assert heir.numbers() == alone(heir)
    assert trained.items() <= heir.numbers().items()

    seen = looker.in_process("leaderboard", "small", "--storage", uri, "--format", "json")
    assert seen.code == 0, seen.err
    assert seen.out == heir.in_process("leaderboard", "small", "--format", "json").out
    secrets = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    written = [path for path in heir.root.path.rglob("*") if path.is_file()]
    assert [path for path in written if secrets in path.read_bytes()] == []
    store = Root.at(heir.root.path, uri).storage.sizes(heir.root.path)
    assert {name.rpartition("/")[2] for name in store if name.startswith("sweeps/") and not name.endswith(".db")} == {
        "spec.yaml",
        "leaderboard.md",
        "figure.png",
        "report.html",
        "label.json",
        "weights.pt",
    }


@pytest.mark.slow(40)
def test_of_two_machines_that_start_the_same_sweep_at_the_same_moment_one_runs_it(
    object_store: ObjectStore, trouble: Path, empty_store: Path, tmp_path: Path
) -> None:
    tell(trouble, seconds=0.3)  # so that the one is not through before the other, on a busy machine, has begun
    users = [User(tmp_path / name, SHORT).given(empty_store) for name in ("one", "other")]
    begun = [user.start("run", "spec.yaml", "--local", "--storage", object_store.uri("twice")) for user in users]
    wait_for("one has ended", lambda: any(process.poll() is not None for process in begun))
    tell(trouble)
    ended = [user.end(process) for user, process in zip(users, begun, strict=True)]
    (winner,) = (user for user, done in zip(users, ended, strict=True) if done.code == 0)
    (refused,) = (done for done in ended if done.code == 2)
    assert refused.err.startswith("sweep: sweep 'small' is "), refused.err
    assert "by process" in refused.err or "running: process" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert len(winner.events("final")) == TRIALS
    assert [user.root.sweep("small").ledger.exists() for user in users] == [user is winner for user in users]
