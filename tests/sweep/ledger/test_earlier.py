"""A sweep goes on from what its own spec has left; another spec of the same name is refused."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search_spaces.loader import load_spec
from search_spaces.schema import Spec
from sweep.ledger.earlier import go_on, note_plan, spec_file
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import record, small_spec
from trainers.errors import InputError, StorageError

OTHER: dict[str, Any] = {"recipe": {"base": "digits", "epochs": 4, "samples_per_class": 8}}
"""Nothing in common with the small spec."""
FEWER: dict[str, Any] = {"methods": ["scratch", {"dhkd": {"alpha": [0.5, 1]}}]}
MORE: dict[str, Any] = {"seeds": 3}


def written(path: Path, **changes: Any) -> Spec:
    """The small spec with some keys changed, in a file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(small_spec(**changes).text)
    return load_spec(str(path))


def ran(ledger: Ledger, spec: Spec, plan: Plan, *, host: str | None = None, noted: bool = True) -> None:
    """A run of a spec, with one result; one of an earlier release has not noted the file's place."""
    body = {"spec": spec.text, "source": spec.source, "host": host or socket.gethostname()}
    ledger.append("sweep", body=body | ({"file": spec_file(spec)} if noted else {}))
    ledger.append("plan", body=plan.to_json())
    record(ledger, plan, plan.slots[0], [50.0])


def goes_on(ledger: Ledger, spec: Spec) -> None:
    go_on(ledger, spec, build_plan(spec))


@pytest.mark.parametrize("changes", [OTHER, FEWER, MORE, {}], ids=["other", "fewer", "more", "equal"])
@pytest.mark.parametrize("noted", [True, False])
def test_a_file_that_was_edited_goes_on(
    tmp_path: Path, ledger: Ledger, small_plan: Plan, changes: dict[str, Any], noted: bool
) -> None:
    ran(ledger, written(tmp_path / "a.yaml"), small_plan, noted=noted)
    goes_on(ledger, written(tmp_path / "a.yaml", **changes))


@pytest.mark.parametrize("changes", [OTHER, FEWER], ids=["other", "fewer"])
@pytest.mark.parametrize("noted", [True, False])
def test_another_file_that_leaves_trials_out_is_refused(
    tmp_path: Path, ledger: Ledger, small_plan: Plan, changes: dict[str, Any], noted: bool
) -> None:
    ran(ledger, written(tmp_path / "a.yaml"), small_plan, noted=noted)
    before = ledger.last_seq()
    with pytest.raises(InputError) as refused:
        goes_on(ledger, written(tmp_path / "b.yaml", **changes))
    out = {"methods": 2, "recipe": 8}[next(iter(changes))]
    folder = ledger.path.parent
    assert str(refused.value) == (
        f"sweep 'small' is another spec's: it was last run from {tmp_path}/a.yaml, and {tmp_path}/b.yaml leaves out"
        f" {out} of its 8 trials and searches. Give this spec another name, or choose another --root; to put it in"
        f" the other one's place, remove {folder} first (its teachers stay)"
    )
    assert ledger.last_seq() == before


def test_files_of_one_name_in_two_folders_are_two(tmp_path: Path, ledger: Ledger, small_plan: Plan) -> None:
    ran(ledger, written(tmp_path / "one" / "spec.yaml"), small_plan)
    with pytest.raises(InputError, match="is another spec's"):
        goes_on(ledger, written(tmp_path / "two" / "spec.yaml", **FEWER))


@pytest.mark.parametrize("changes", [MORE, {}], ids=["more", "equal"])
def test_another_file_that_leaves_nothing_out_goes_on(
    tmp_path: Path, ledger: Ledger, small_plan: Plan, changes: dict[str, Any]
) -> None:
    ran(ledger, written(tmp_path / "a.yaml"), small_plan)
    goes_on(ledger, written(tmp_path / "b.yaml", **changes))


def test_a_file_that_was_moved_and_edited_goes_on(tmp_path: Path, ledger: Ledger, small_plan: Plan) -> None:
    ran(ledger, written(tmp_path / "one" / "a.yaml"), small_plan)
    shutil.rmtree(tmp_path / "one")
    goes_on(ledger, written(tmp_path / "two" / "b.yaml", **FEWER))
    with pytest.raises(InputError, match="leaves out 8 of its 8"):
        goes_on(ledger, written(tmp_path / "two" / "b.yaml", **OTHER))


def test_a_link_to_the_file_is_the_file(tmp_path: Path, ledger: Ledger, small_plan: Plan) -> None:
    ran(ledger, written(tmp_path / "a.yaml"), small_plan)
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    goes_on(ledger, written(tmp_path / "b.yaml", **OTHER))


def test_of_a_spec_that_was_sent_from_elsewhere_the_file_s_name_counts(
    tmp_path: Path, ledger: Ledger, small_plan: Plan
) -> None:
    sent = replace(written(tmp_path / "a.yaml"), source="a.yaml")
    ran(ledger, sent, small_plan, host="elsewhere")
    goes_on(ledger, replace(written(tmp_path / "a.yaml", **OTHER), source="a.yaml"))
    goes_on(ledger, replace(written(tmp_path / "b.yaml", **FEWER), source="b.yaml"))
    with pytest.raises(InputError, match=r"last run from a\.yaml, and b\.yaml leaves out 8"):
        goes_on(ledger, replace(written(tmp_path / "b.yaml", **OTHER), source="b.yaml"))


def test_where_nothing_has_come_of_the_other_spec_nothing_is_lost(
    tmp_path: Path, ledger: Ledger, small_plan: Plan
) -> None:
    spec = written(tmp_path / "a.yaml")
    goes_on(ledger, spec)
    ledger.append("sweep", body={"spec": spec.text, "source": spec.source, "file": spec_file(spec)})
    ledger.append("plan", body=small_plan.to_json())
    goes_on(ledger, written(tmp_path / "b.yaml", **OTHER))


def test_a_damaged_ledger_is_not_gone_on_with(tmp_path: Path, ledger: Ledger, small_plan: Plan) -> None:
    spec = written(tmp_path / "a.yaml")
    ran(ledger, spec, small_plan)
    with closing(sqlite3.connect(ledger.path)) as database:
        database.execute("UPDATE events SET body = replace(body, '50.0', '51.0') WHERE kind = 'epoch'")
        database.commit()
    with pytest.raises(StorageError, match="is not what was written; put back a copy"):
        goes_on(ledger, spec)


def test_a_run_notes_its_plan_where_the_last_one_is_another(ledger: Ledger, small_plan: Plan) -> None:
    note_plan(ledger, small_plan)
    noted = ledger.latest("plan")
    assert noted is not None and Plan.from_json(noted.body) == small_plan
    note_plan(ledger, build_plan(small_spec()))  # a run that goes on has expanded its spec anew
    assert [event.seq for event in ledger.events("plan")] == [noted.seq]
    grown = build_plan(small_spec(seeds=3))
    for plan in (grown, small_plan, small_plan):
        note_plan(ledger, plan)
    assert [Plan.from_json(event.body) for event in ledger.events("plan")] == [small_plan, grown, small_plan]


def test_a_plan_that_differs_in_what_makes_no_other_trials_is_noted_too(ledger: Ledger, small_plan: Plan) -> None:
    for plan in (small_plan, replace(small_plan, networks={})):
        note_plan(ledger, plan)
    assert len(list(ledger.events("plan"))) == 2
