"""What an earlier run has left under a sweep's name: whole, and of the spec that goes on now.

A spec grows: its file is edited and run again, and who edits it knows what it leaves out then. Another file that
happens to bear the same name would put its own plan and table in the place of the first one's.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from search_spaces.schema import Spec
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from trainers.errors import InputError


def go_on(ledger: Ledger, spec: Spec, plan: Plan) -> None:
    """Check that a sweep may go on from what its ledger holds. Reads all of it.

    Args:
        ledger: the sweep's.
        spec: what is about to run.
        plan: the spec expanded.

    Raises:
        StorageError: when the ledger is damaged.
        InputError: when it is of another spec of the same name.
    """
    ledger.verify()
    run, planned = ledger.latest("sweep"), ledger.latest("plan")
    if run is None or planned is None or run.body.get("spec") == spec.text or not ledger.finals():
        return
    was, now = _trials(Plan.from_json(planned.body)), _trials(plan)
    replaced = was - now and not _is_same(run.body, spec)
    if replaced and (_is_there(run.body) or not was & now):
        raise InputError(
            f"sweep '{spec.name}' is another spec's: it was last run from {_source(run.body)}, and {spec.source} leaves"
            f" out {len(was - now)} of its {len(was)} trials and searches. Give this spec another name, or choose"
            f" another --root; to put it in the other one's place, remove {ledger.path.parent} first (its teachers"
            " stay)"
        )


def note_plan(ledger: Ledger, plan: Plan) -> None:
    """Note the plan of a run that begins, where the one that was noted last is another: a long one takes megabytes."""
    known, content = ledger.latest("plan"), plan.to_json()
    if known is None or json.dumps(known.body) != json.dumps(content):
        ledger.append("plan", body=content)


def spec_file(spec: Spec) -> str:
    """Where a spec's file lies, for the ledger; empty where it has none here: it is a shipped one, or was sent."""
    path = Path(spec.source).absolute()
    return str(path) if path.is_file() else ""


def _trials(plan: Plan) -> set[str]:
    """Ids of what the table has: students' slots and searches."""
    return {slot.id for slot in plan.students} | {cell.id for cell in plan.cells}


def _source(run: dict[str, Any]) -> str:
    return str(run.get("file") or run.get("source") or "a file that was not noted")


def _is_same(run: dict[str, Any], spec: Spec) -> bool:
    """Whether a run was of the same file as a spec; of files that are not both here, of one of that name."""
    file, now = run.get("file"), spec_file(spec)
    if file and now:
        return Path(file) == Path(now) or (Path(file).exists() and Path(file).samefile(now))
    return Path(_source(run)).name == Path(spec.source).name


def _is_there(run: dict[str, Any]) -> bool:
    """Whether the file of a run still lies where it did, on this machine; else it may have been moved."""
    return run.get("host") == socket.gethostname() and Path(_source(run)).is_file()
