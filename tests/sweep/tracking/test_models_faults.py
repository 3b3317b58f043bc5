"""Models on a server that answers too late, or refuses: each is there once, and one that is refused stops no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.tracking.models import Outcome
from sweep.tracking.sync import log_models, sync, told_everything
from tests.support.served_mlflow import served
from tests.sweep.tracking.test_models import client_of, little, models, root, uri

__all__ = ["little", "root", "uri"]

pytestmark = pytest.mark.slow(2)
LATE = ("create_logged_model", "log_batch", "log_outputs", "create_model_version", "create_registered_model")


def test_what_was_answered_too_late_is_not_made_twice(root: Root, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    sync(root, "small", uri)
    late: list[str] = []

    def once_late(name: str, real: Any) -> Any:
        def request(*given: Any, **named: Any) -> Any:
            answer = real(*given, **named)
            late.append(name)
            if late.count(name) == 1:
                raise TimeoutError("timed out")
            return answer

        return request

    for name in LATE:
        monkeypatch.setattr(MlflowClient, name, once_late(name, getattr(MlflowClient, name)))
    assert log_models(root, "small", uri, lambda _: None) == Outcome(logged=2)
    assert set(late) == set(LATE)
    assert sorted(model.name for model in models(uri)) == ["resnet8-kd", "resnet8-teacher"]
    assert all(model.metrics for model in models(uri))
    assert len(client_of(uri).search_model_versions("name = 'resnet8-digits'")) == 1


def test_a_model_that_is_refused_is_named_and_stops_no_other(
    root: Root, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    sync(root, "small", uri)
    real = MlflowClient.create_logged_model

    def choosy(self: MlflowClient, experiment: str, name: str, *more: Any) -> Any:
        if name == "resnet8-teacher":
            raise MlflowException.invalid_parameter_value("not of my liking")
        return real(self, experiment, name, *more)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_logged_model", choosy)
        outcome = log_models(root, "small", uri, lambda _: None)
    assert outcome.logged == 1
    (refused,) = outcome.refused
    assert refused.startswith("resnet8-teacher (")
    assert refused.endswith("): not of my liking")
    assert log_models(root, "small", uri, lambda _: None) == Outcome(logged=1)


ROUTES = {
    "the registry": (("/registered-models/", "/model-versions/"), 403, 2, ["resnet8-teacher ("]),
    "files": (("/mlflow-artifacts/",), 403, 0, ["resnet8-teacher (", "resnet8-kd ("]),
    "models": (("/logged-models",), 404, 0, ["the models: 404 (Not Found)"]),
}
"""What a server lets nobody into: paths, with which status, how many models it takes all the same, and what is told."""


@pytest.mark.slow(40)
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_that_lets_nobody_in_costs_what_goes_there_alone(
    root: Root, uri: str, tmp_path: Path, route: str
) -> None:
    paths, status, logged, told = ROUTES[route]
    shut = [*paths]
    with served(uri, tmp_path / "files", lambda path: next((status for one in shut if one in path), None)) as server:
        sync(root, "small", server)
        outcome = log_models(root, "small", server, lambda _: None)
        assert outcome.logged == logged
        assert [line.startswith(what) for line, what in zip(outcome.refused, told, strict=True)] == [True] * len(told)
        assert all(f"{status} (" in line for line in outcome.refused)
        with Ledger(root.sweep("small").ledger) as ledger:
            assert not told_everything(ledger, server)
        shut.clear()
        assert log_models(root, "small", server, lambda _: None) == Outcome(logged=2 - logged)
    assert len(client_of(uri).search_model_versions("name = 'resnet8-digits'")) == 1
    assert sorted(model.name for model in models(uri)) == ["resnet8-kd", "resnet8-teacher"]


def test_a_models_label_follows_the_sweep_that_grows(root: Root, uri: str) -> None:
    sync(root, "small", uri)
    log_models(root, "small", uri, lambda _: None)
    (student,) = [model for model in models(uri) if model.name == "resnet8-kd"]
    client_of(uri).set_logged_model_tags(student.model_id, {"label": "as it was", "best": "false"})
    log_models(root, "small", uri, lambda _: None)
    (now,) = [model for model in models(uri) if model.name == "resnet8-kd"]
    assert (now.tags["label"], now.tags["best"]) == ("kd", "true")
