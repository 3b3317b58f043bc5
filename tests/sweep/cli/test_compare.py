"""`sweep compare`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sweep.cli.app import app, main
from sweep.cli.compare import repeated
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from tests.support.examples import begin, record, small_spec

VALUES = {
    "kd": [80.0, 82.0, 81.0],
    "dkd": [80.2, 82.3, 81.0],
    "dhkd": [81.3, 83.2, 82.2],
    "scratch": [70.1, 72.0, 71.0],
    "gdkd": [80.1, 82.0, 81.2],
}


def sweep(root: Root, name: str, values: dict[str, list[float]], lost: int = 0) -> None:
    """A sweep whose last trial of dhkd has diverged where one is lost."""
    plan = build_plan(small_spec(name=name, methods=list(values), seeds=max(map(len, values.values()))))
    paths = root.sweep(name)
    paths.folder.mkdir(parents=True)
    with Ledger(paths.ledger) as ledger:
        begin(ledger, plan)
        for slot in plan.students:
            if slot.seed < len(values[slot.method]):
                bad = slot.method == "dhkd" and slot.seed >= len(plan.seeds) - lost
                record(ledger, plan, slot, [values[slot.method][slot.seed]], "diverged" if bad else "finished")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "runs")


def typed(root: Root, *words: str) -> str:
    done = CliRunner().invoke(app, ["compare", *words, "--root", str(root.path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(root: Root, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["compare", *words, "--root", str(root.path)])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_the_first_line_is_the_answer(root: Root) -> None:
    sweep(root, "s", VALUES)
    lines = typed(root, "s", "--mine", "dhkd", "--against", "kd", "dkd").splitlines()
    assert lines[0].startswith("dhkd is better than kd by 1.23 points (95 % CI ")
    assert "; dhkd is better than dkd by 1.07 points (95 % CI " in lines[0]
    assert "corrected p = 0.0" in lines[0]


def test_it_compares_with_the_baseline_where_nothing_is_said(root: Root) -> None:
    sweep(root, "s", VALUES)
    assert typed(root, "--mine", "scratch").startswith("scratch is worse than kd by 9.97 points (95 % CI 9.")
    assert typed(root, "--mine", "gdkd").startswith("gdkd is not told apart from kd: +0.10 points (95 % CI −0.")


def test_records_are_machine_readable(root: Root) -> None:
    sweep(root, "s", VALUES)
    found = json.loads(typed(root, "--mine", "dkd", "--against", "kd", "dhkd", "--format", "json"))
    assert [(one["mine"], one["against"], one["verdict"]) for one in found] == [
        ("dkd", "kd", "not told apart"),
        ("dkd", "dhkd", "worse"),
    ]
    assert found[0]["more_seeds"] > 0 == found[1]["more_seeds"]
    assert "| pair | mine | against |" in typed(root, "--mine", "dkd", "--format", "markdown")


def test_one_common_seed_is_shown_without_a_test(root: Root) -> None:
    sweep(root, "s", {name: some[:1] for name, some in VALUES.items()})
    told = typed(root, "--mine", "dhkd")
    why = "1 common seed, and a test needs 3 (difference +1.30 points; 2 more seeds would make a test)"
    assert told.splitlines()[0] == f"dhkd cannot be tested against kd: {why}."


def test_trials_that_gave_no_number_are_counted(root: Root) -> None:
    sweep(root, "s", VALUES | {"dhkd": [81.3, 83.2, 82.2]}, lost=1)
    told = typed(root, "--mine", "dhkd")
    assert "1 diverged (dhkd)" in told
    assert "2 common seeds, and a test needs 3 (difference +1.25 points; 1 more seed would make a test)" in told


def test_two_sweeps_make_one_table(root: Root) -> None:
    sweep(root, "a", {name: VALUES[name] for name in ("kd", "dkd", "scratch")})
    sweep(root, "b", {name: VALUES[name] for name in ("kd", "dhkd", "gdkd")})
    assert typed(root, "a", "b", "--mine", "dhkd", "--against", "dkd").startswith("dhkd is better than dkd")


def test_sweeps_that_do_not_go_together_are_refused(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(root, "a", {name: VALUES[name] for name in ("kd", "dkd")})
    sweep(root, "b", {"kd": VALUES["kd"][:2], "dhkd": VALUES["dhkd"][:2]})
    assert "seeds: 0, 1, 2 in 'a', 0, 1 in 'b'" in refused(root, capsys, "a", "b", "--mine", "dhkd")


def test_an_unknown_row_is_one_message_with_what_there_is(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(root, "s", VALUES)
    told = refused(root, capsys, "--mine", "dkdd")
    assert told == "sweep: unknown row 'dkdd'; did you mean 'dkd'? valid: dhkd, dkd, gdkd, kd, scratch\n"
    assert refused(root, capsys).startswith("sweep: --mine names a row; there are 'kd', 'dkd', 'dhkd'")


def test_an_options_values_are_all_that_follows() -> None:
    assert repeated(["s", "--against", "kd", "dkd", "--mine", "a"], "--against") == [
        *("s", "--against", "kd", "--against", "dkd", "--mine", "a")
    ]
    assert repeated(["--against", "kd", "--against", "dkd"], "--against") == ["--against", "kd", "--against", "dkd"]
