"""One sweep, one table: ledger, files, MLflow, LaTeX and pack show the same rows, names, numbers, marks and words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.packs.packing import pack
from sweep.plan.expand import build_plan
from sweep.report.make import make_reports
from sweep.tracking.sync import sync
from tests.support.examples import begin, record, small_spec
from tests.support.forms import all_agree, printed

TABLE = {
    "names": {"kd": "KD [Hinton]", "dhkd": "DHKD (ours)"},
    "rows": ["dhkd α=0.5", "scratch", "kd"],
    "columns": ["mean", "resnet14 -> resnet32", "resnet20 -> resnet8"],
    "decimals": 1,
}
MEANS = {"scratch": 80.0, "kd": 90.0, "dhkd α=0.5": 93.0, "dhkd α=1": 92.9}


def tell(root: Root, table: dict[str, object]) -> None:
    """A sweep over two pairs; dhkd leads, and a seed of scratch diverged. Its files are made."""
    spec = small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet32"], seeds=3, table=table)
    plan, paths = build_plan(spec), root.sweep("small")
    with closing(Ledger(paths.ledger)) as ledger:
        known = ledger.latest("plan") is not None
        begin(ledger, plan, spec)
        for slot in () if known else plan.slots:
            noise = ((slot.seed * 7 + len(slot.label) + len(slot.pair)) % 5) / 10 + slot.seed
            diverged = slot.method == "scratch" and slot.seed == 2
            reached = 97.0 if slot.stage == "teacher" else MEANS[slot.label] + noise
            record(ledger, plan, slot, [reached], "diverged" if diverged else "finished", val_accs=[50.0])
        make_reports(paths, ledger)
        ledger.append("stop", body={"exit_code": 0})


@pytest.mark.slow(12)
def test_every_form_of_a_table_says_the_same(root: Root, new_store: Callable[[str], str], tmp_path: Path) -> None:
    uri = new_store("mlflow.db")
    tell(root, TABLE)
    sync(root, "small", uri)
    board = all_agree(root, "small", uri, _packed(root, tmp_path / "one.sweep.zip"))
    cells = printed(board)
    assert [line[0] for line in cells] == ["teacher", "DHKD (ours) α=0.5", "scratch", "KD [Hinton]"]
    assert any("*" in cell for line in cells for cell in line), "no mark is compared"

    tell(root, {})  # only the table has changed
    sync(root, "small", uri)
    board = all_agree(root, "small", uri, _packed(root, tmp_path / "two.sweep.zip"))
    assert [line[0] for line in printed(board)] == ["teacher", "scratch", "kd", "dhkd α=0.5", "dhkd α=1"]


def _packed(root: Root, file: Path) -> Path:
    return pack(root.sweep("small"), file, lambda _: None)
