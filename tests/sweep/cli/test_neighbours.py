"""What lies beside a sweep below the same root costs it nothing, whatever it is."""

from __future__ import annotations

import pytest

from sweep.cli.catalogue import rows
from sweep.formats import Format
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.preview import preview
from tests.support.examples import begin, record, small_spec


@pytest.fixture
def crowded(root: Root, ledger: Ledger, small_plan: Plan) -> Root:
    """A root with a sweep, beside it a ledger that is none, and a folder that bears a ledger's name."""
    begin(ledger, small_plan)
    for slot in small_plan.slots:
        record(ledger, small_plan, slot, [90.0])
    (root.sweeps / "broken").mkdir()
    (root.sweeps / "broken" / "ledger.db").write_bytes(b"no database " * 1000)
    (root.sweeps / "foreign" / "ledger.db").mkdir(parents=True)
    return root


def test_all_sweeps_are_listed_and_the_broken_one_says_so(crowded: Root) -> None:
    found = {row["sweep"]: row for row in rows("sweeps", crowded)}
    assert set(found) == {"small", "broken"}
    assert (found["small"]["trials"], found["small"]["finished"], found["small"]["running"]) == (9, 9, "")
    assert found["broken"]["running"] == f"unreadable: sweep status broken --root {crowded.path}"
    assert found["small"].keys() == found["broken"].keys()


def test_another_sweep_is_planned_by_the_pace_of_those_that_can_be_read(crowded: Root) -> None:
    text = preview(small_spec(name="next", seeds=3), crowded, Format.TABLE)
    assert text.startswith("next on digits")
    assert "cost: about" in text
    assert "not timed yet" not in text
