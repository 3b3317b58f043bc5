"""A sweep's searches as Optuna studies in a storage of the user's."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from sqlalchemy import make_url

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.search.optuna_storage import _opened, mirror
from tests.support.examples import play, small_spec
from tests.support.postgres import Postgres, programs
from trainers.errors import StorageError

TRIALS = 5


@pytest.fixture(scope="module")
def plan() -> Plan:
    method = {"gdkd": {"w2": {"range": [0.5, 16], "log": True}, "k": {"choice": [3, 5]}}}
    search = {"trials": TRIALS, "sampler": "random", "grace": 1, "reduction": 2, "deterministic": True}
    return build_plan(small_spec(methods=["kd", method], search=search, seeds=1))


@pytest.fixture
def searched(root: Root, plan: Plan) -> Root:
    """A root whose sweep has searched a part."""
    go_on(root, plan, trials=4)
    return root


def go_on(root: Root, plan: Plan, trials: int | None = None) -> None:
    with Ledger(root.sweep(plan.name).ledger) as ledger:
        play(ledger, plan, accuracy, trials=trials)


def accuracy(slot: Slot) -> float:
    return 80.0 + float(slot.varied.get("w2", 0))


@pytest.fixture(params=["journal", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty storage of each kind."""
    if request.param == "journal":
        yield str(tmp_path / "deep" / "journal.log")
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'studies.db'}"
    else:
        server = postgres()
        yield server.uri
        server.close()


def postgres() -> Postgres:
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL server on this machine")
    try:
        make_url("postgresql://").get_dialect().import_dbapi()
    except ImportError as missing:
        pytest.skip(f"SQLAlchemy cannot reach PostgreSQL: {missing}")
    return Postgres(found)


def test_every_trial_that_has_ended_is_there_once_however_often_one_mirrors(
    searched: Root, plan: Plan, where: str
) -> None:
    paths = searched.sweep(plan.name)
    first = mirror(paths, where)
    assert 0 < first < TRIALS
    assert mirror(paths, where) == 0
    go_on(searched, plan)
    assert mirror(paths, where) == TRIALS - first
    with _opened(where) as storage:
        (name,) = optuna.get_all_study_names(storage)
        assert name.startswith("small · ")
        study = optuna.load_study(study_name=name, storage=storage)
        trials, best_trial = study.trials, study.best_trial
        assert (study.metric_names, study.user_attrs["config"]) == (["val_acc"], plan.cells[0].config)
    assert [trial.user_attrs["suggestion"] for trial in trials] == list(range(TRIALS))
    with Ledger(paths.ledger) as ledger:
        asked = [event.body["params"] for event in ledger.events("ask")]
    assert [trial.params["w2"] for trial in trials] == [params["w2"] for params in asked]
    assert [trial.user_attrs["k"] for trial in trials] == [params["k"] for params in asked]
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    best = max(params["w2"] for params in asked)
    assert best_trial.params["w2"] == best
    assert best_trial.value == pytest.approx(80.0 + best - 1)


def test_optuna_says_nothing_of_its_own(
    searched: Root, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, told = logging.getLogger("optuna"), logging.handlers.BufferingHandler(100)
    monkeypatch.setattr(logger, "handlers", [told])
    logger.setLevel(logging.INFO)  # as Optuna sets it
    assert mirror(searched.sweep(plan.name), str(tmp_path / "journal.log")) > 0
    assert told.buffer == []


@pytest.mark.slow
def test_a_database_that_does_not_answer_is_told_without_its_password(searched: Root, plan: Plan) -> None:
    server = postgres()
    server.close()
    with pytest.raises(StorageError, match=r"Optuna's storage postgresql://\*\*\*@/postgres\S* cannot be") as refused:
        mirror(searched.sweep(plan.name), server.uri)
    assert "secret" not in str(refused.value)
