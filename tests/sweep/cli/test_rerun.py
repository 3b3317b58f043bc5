"""`sweep rerun`: what is refused, and before what."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces.smoke import shrunk
from sweep.layout import Root
from sweep.ledger import lock
from sweep.ledger.last_spec import last_spec, of_sweep
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import begin, record, slot_of, small_spec
from tests.sweep.cli.test_verbs import refused
from trainers.errors import InputError


@pytest.fixture
def told(ledger: Ledger, small_plan: Plan) -> Ledger:
    """A sweep of which kd has finished."""
    begin(ledger, small_plan, small_spec())
    for seed in (0, 1):
        record(ledger, small_plan, slot_of(small_plan, "kd", seed), [70.0, 80.0, 90.0])
    return ledger


def test_what_is_unknown_is_refused_with_what_is_known(
    told: Ledger, root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--root", str(root.path))
    assert "unknown method 'kdd'; did you mean 'kd'?" in refused(capsys, "rerun", "small", "--method", "kdd", *place)
    assert "there is no sweep 'other'" in refused(capsys, "rerun", "other", "--failed", *place)
    assert "say what is to be done again" in refused(capsys, "rerun", "small", *place)
    assert "none of the trials of 'small' has failed" in refused(capsys, "rerun", "small", "--failed", *place)
    assert [event.kind for event in told.events("again")] == []


def test_the_spec_of_another_sweep_is_refused(
    told: Ledger, root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "other.yaml"
    spec.write_text(small_spec(name="other").text)
    said = refused(capsys, "rerun", "small", str(spec), "--method", "kd", "--root", str(root.path))
    assert f"{spec} is the spec of sweep 'other', not of 'small'" in said


def test_a_sweep_that_runs_is_refused(told: Ledger, root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    with lock.exclusive(root.sweep("small").lock, "sweep 'small'"):
        said = refused(capsys, "rerun", "small", "--method", "kd", "--root", str(root.path))
    assert "sweep 'small' is already running: process" in said
    assert len(told.finals()) == 2


def test_the_last_spec_is_the_one_that_was_run(told: Ledger) -> None:
    spec = last_spec(told)
    assert (spec.name, spec.text) == ("small", small_spec().text)
    assert build_plan(spec).slots == build_plan(small_spec()).slots


def test_a_smoke_run_is_shrunk_again(root: Root) -> None:
    spec = small_spec()
    smoke = root.sweep("small-smoke")
    assert build_plan(of_sweep(spec, smoke)).slots == build_plan(shrunk(spec)).slots
    with pytest.raises(InputError, match="is the spec of sweep 'small', not of 'else'"):
        of_sweep(spec, root.sweep("else"))
