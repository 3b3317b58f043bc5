"""A search that pauses trials, through the command that a user types: in one process, on Ray, and killed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import User
from tests.support.fault_harness import kill_driver, results
from tests.support.tracked import runs

pytestmark = pytest.mark.slow(90)

TRIALS = 14
SPEC = f"""\
name: small
dataset: {{digits: {{image_size: 8}}}}
recipe:
  {{base: digits, epochs: 9, warmup_epochs: 0, samples_per_class: 10, test_per_class: 10,
    lr: {{range: [0.001, 0.5], log: true}}}}
pairs: [resnet14 -> resnet8]
methods: [scratch]
seeds: 1
search: {{trials: {TRIALS}, sampler: curves, pauses: true, deterministic: true}}
compute: {{cpus: 1}}
tracking: {{models: none}}
"""


def done_by(user: User) -> list[tuple[str, str | None, Any, Any]]:
    """What the search has asked for, paused and taken up again, in order."""
    return [
        (event.kind, event.trial, event.body["number"], event.body.get("epoch"))
        for event in user.events("ask", "paused", "resumed")
    ]


def studied(user: User) -> dict[str, Any]:
    done = user.in_process("studies", "small", "--format", "json")
    assert done.code == 0, done.err
    (study,) = json.loads(done.out)
    return dict(study)


def check(user: User) -> None:
    """Every trial has finished, or was given up and left nothing."""
    begun = {event.trial or "" for event in user.events("ask")}
    given_up = {event.trial or "" for event in user.events("pruned")}
    finished = {event.trial or "" for event in user.events("final")}
    assert (len(begun), given_up | finished, given_up & finished) == (TRIALS, begun, set())
    assert not any((user.root.sweep("small").trial(key) / "checkpoints").exists() for key in begun)
    assert not any(count > 1 for count in Counter((e.trial, e.epoch) for e in user.events("epoch")).values())
    assert all(event.body["ran_on"] for event in user.events("pruned"))
    study = studied(user)
    assert (study["paused"], study["finished"], study["pruned"]) == (0, len(finished), len(given_up))
    assert [one["resumed"] for one in study["pauses"]].count(True) == len(user.events("resumed")) > 0
    assert "it has paused " in (user.root.sweep("small").folder / "report.html").read_text("utf-8")
    told = user.in_process("studies", "small")
    assert " of them taken up again" in told.out
    assert "what is not taken up again is given up in the end" in " ".join(told.out.split())


def test_it_is_the_same_in_one_process_and_on_ray_where_its_driver_is_killed(tmp_path: Path, empty_store: Path) -> None:
    here = User(tmp_path / "here", SPEC).given(empty_store)
    done = here.sweep("run", "spec.yaml", "--local")
    assert done.code == 0, done.out + done.err
    assert "as its search expects more of others" in done.out
    check(here)

    there = User(tmp_path / "there", SPEC).given(empty_store)
    process = there.start("run", "spec.yaml")
    there.wait_for(lambda: len(there.events("paused")) >= 6, process)
    kill_driver(there, process)
    status = there.in_process("status", "small")
    assert "paused" in status.out
    process = there.start("run", "spec.yaml")
    there.wait_for(lambda: len(there.events("resumed")) >= 1, process)
    kill_driver(there, process)
    done = there.sweep("run", "spec.yaml")
    assert done.code == 0, done.out + done.err
    check(there)
    assert done_by(there) == done_by(here)
    assert results(there) == results(here)


def test_several_at_once_leave_nothing_paused_and_mlflow_knows_it(tmp_path: Path, empty_store: Path) -> None:
    user = User(tmp_path, SPEC.replace(", deterministic: true", "")).given(empty_store)
    done = user.sweep("run", "spec.yaml")
    assert done.code == 0, done.out + done.err
    check(user)
    states = {key: run.data.tags.get("state") for key, run in runs(f"sqlite:///{user.root.mlflow_database}").items()}
    given_up = {event.trial or "" for event in user.events("pruned")}
    assert given_up
    for event in user.events("ask"):
        assert states[event.trial or ""] == ("pruned" if event.trial in given_up else "finished")
