"""Sweeps from Python: the notebook, cell by cell, and two sweeps on Ray from one process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import User

pytestmark = pytest.mark.slow(60)

NOTEBOOK = Path(__file__).parents[2] / "examples" / "python.ipynb"
CELL_BY_CELL = """
import ast, json, pathlib, sys

names = {"__name__": "__main__"}
for cell in json.loads(pathlib.Path(sys.argv[1]).read_text())["cells"]:
    if cell["cell_type"] != "code":
        continue
    tree = ast.parse("".join(cell["source"]))
    shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, cell["id"], "exec"), names)
    value = eval(compile(ast.Expression(shown.value), cell["id"], "eval"), names) if shown else None
    html = value._repr_html_() if hasattr(value, "_repr_html_") else None
    print("SHOWN", json.dumps({"cell": cell["id"], "text": repr(value), "html": html}))
"""
"""As a notebook does: what a cell ends with is shown, as HTML where it has some."""
TWICE = """
import sweep

spec = {
    "name": "first",
    "dataset": {"digits": {"image_size": 8}},
    "recipe": {"base": "digits", "epochs": 1, "warmup_epochs": 0, "samples_per_class": 2, "test_per_class": 2},
    "pairs": ["resnet14 -> resnet8"],
    "methods": ["scratch"],
    "seeds": 1,
    "tracking": {"models": "none"},
}
if __name__ == "__main__":
    for name in ("first", "second"):
        print(name, sweep.load(spec | {"name": name}).run(progress=False).states)
"""


@pytest.fixture
def user(tmp_path: Path, empty_store: Path) -> User:
    return User(tmp_path).given(empty_store)


def test_the_notebook_runs_cell_by_cell(user: User) -> None:
    user.program = ("-c", CELL_BY_CELL, str(NOTEBOOK))
    done = user.sweep()
    assert done.code == 0, done.err
    shown = [json.loads(line.removeprefix("SHOWN ")) for line in done.out.splitlines() if line.startswith("SHOWN ")]
    plan, board, compared, figure, epochs, accuracy, table = shown
    assert "13 trials" in plan["text"]
    assert "dhkd α=0.5" in board["html"]
    assert "±" in board["html"]
    assert compared["text"].startswith("dhkd α=0.5 is ")
    assert "than kd" in compared["text"] or "from kd" in compared["text"]
    assert figure["text"].startswith("<Figure")
    assert "kd" in epochs["html"]
    assert 20 < float(accuracy["text"].strip("'").split()[0]) < 100
    assert "dhkd α=2" in table["html"]
    assert {path.name for path in user.folder.iterdir()} == {"home", "runs", "spec.yaml"}
    assert list(user.home.iterdir()) == []


def test_two_sweeps_run_on_ray_from_one_process(user: User) -> None:
    (user.folder / "twice.py").write_text(TWICE)
    user.program = ("twice.py",)
    done = user.sweep()
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["first {'finished': 1}", "second {'finished': 1}"]
