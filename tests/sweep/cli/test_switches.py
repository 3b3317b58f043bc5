"""`--smoke` and `--calibrate`, as they are typed: what the verbs then plan, measure and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from search_spaces.schema import Spec
from search_spaces.smoke import EPOCHS
from sweep.cli.app import app
from tests.support.command import SMALL

Heard = list[tuple[str, Spec]]


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Heard:
    """What would plan, measure or run, and which spec each was given; in a folder with one."""
    (tmp_path / "spec.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    seen: Heard = []

    def hears(what: str, says: str) -> Any:
        def hear(spec: Spec, *_: Any, **__: Any) -> str:
            seen.append((what, spec))
            return says

        return hear

    monkeypatch.setattr("sweep.results.preview.preview", hears("plan", "what it costs\n"))
    monkeypatch.setattr("sweep.results.preview.calibrated", hears("measure", "what trains most\n"))
    monkeypatch.setattr("sweep.cli.run.run_and_show", hears("run", ""))
    return seen


def typed(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_smoke_shrinks_the_spec_and_gives_it_a_name_of_its_own(heard: Heard, verb: str) -> None:
    typed(verb, "spec.yaml")
    typed(verb, "spec.yaml", "--smoke")
    whole, shrunk = (spec for _, spec in heard)
    assert (whole.name, len(whole.seeds), whole.recipes[0].value.epochs) == ("small", 2, 4)
    assert (shrunk.name, len(shrunk.seeds), shrunk.recipes[0].value.epochs) == ("small-smoke", 1, EPOCHS)


def test_calibrate_measures_before_it_plans(heard: Heard) -> None:
    assert typed("plan", "spec.yaml") == "what it costs\n"
    assert [what for what, _ in heard] == ["plan"]
    heard.clear()
    assert typed("plan", "spec.yaml", "--calibrate") == "what trains most\nwhat it costs\n"
    assert [(what, spec.name) for what, spec in heard] == [("measure", "small"), ("plan", "small")]


def test_calibrate_measures_the_spec_that_is_planned(heard: Heard) -> None:
    typed("plan", "spec.yaml", "--calibrate", "--smoke")
    assert [(what, spec.name) for what, spec in heard] == [("measure", "small-smoke"), ("plan", "small-smoke")]


def test_a_listing_for_programs_is_either_of_the_two(heard: Heard) -> None:
    assert typed("plan", "spec.yaml", "--calibrate", "--format", "json") == "what trains most\n"
    assert [what for what, _ in heard] == ["measure"]
