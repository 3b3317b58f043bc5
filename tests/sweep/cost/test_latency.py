"""How long students take here: measured once, remembered by machine, and no part of what a sweep is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sweep.cli.app import app
from sweep.cost import latency
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.report.appendix import networks
from sweep.report.history import read as history_of
from sweep.results.board import leaderboard
from sweep.search.cell_search import CellSearch
from sweep.search.searches import Searches
from tests.support.examples import begin, play, small_spec
from tests.support.own import Folder, folder
from trainers.code import unload
from trainers.errors import InputError

__all__ = ["folder"]

PAIRS = ["resnet20 -> resnet32", "resnet20 -> resnet8"]
SEARCH = {"trials": 2, "sampler": "grid", "pruner": "none", "metrics": ["val_acc", "student_latency"]}
METHODS = [{"kd": {"alpha": {"choice": [1, 2]}}}]


def searched(**changes: Any) -> Plan:
    """A plan that asks for latencies."""
    spec = small_spec(pairs=PAIRS, methods=METHODS, seeds=1, search=SEARCH | changes)
    return build_plan(spec)


def known(small: float, large: float) -> latency.Known:
    """As if it had been measured."""
    common = {"passes": 500, "device": "cpu", "threads": 2}
    each = {"resnet32": large, "resnet8": small}
    return {
        name: [{"batch": batch, "milliseconds": ms * batch, "fastest": ms * batch, **common} for batch in (1, 64)]
        for name, ms in each.items()
    }


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is measured from now on."""

    def refuse(*_: Any) -> None:
        raise AssertionError("something was measured")

    monkeypatch.setattr("sweep.cost.latency._asked", refuse)
    yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Root, Plan, latency.Known, list[str]]:
    """A root where the students of a plan were measured, by a process of its own; and what was said."""
    root, plan, said = Root(tmp_path_factory.mktemp("measured") / "runs"), searched(), list[str]()
    return root, plan, latency.measured(plan, root, said.append), said


Measured = tuple[Root, Plan, latency.Known, list[str]]


@pytest.mark.slow(10)
def test_students_are_measured_once_and_remembered(measured: Measured, no_process: None) -> None:
    root, plan, found, said = measured
    assert said == ["measuring the latency of resnet32, resnet8 on this machine's CPU"]
    assert list(found) == ["resnet32", "resnet8"], "teachers are none of them"
    assert [one["batch"] for one in found["resnet8"]] == [1, 64]
    assert latency.remembered(plan, root) == found
    assert latency.measured(plan, root, said.append) == found
    (here,) = json.loads(root.latency.read_text()).values()
    assert here.keys() == {"processor", "cores", "gpus", "torch", "networks"}
    assert list(here["networks"]) == ["resnet32 8x8 10 cpu", "resnet8 8x8 10 cpu"]


@pytest.mark.slow(10)
@pytest.mark.parametrize("change", ["machine", "size"])
def test_another_machine_or_size_knows_nothing_of_it(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    root, plan, _, _ = measured
    if change == "machine":
        monkeypatch.setattr("sweep.cost.latency.machine", lambda: "another one")
        assert latency.remembered(plan, root) == {}
    else:
        spec = small_spec(dataset={"digits": {"image_size": 16}})
        assert latency.remembered(build_plan(spec), root) == {}


@pytest.mark.slow(10)
def test_the_listing_says_what_was_measured(measured: Measured, no_process: None) -> None:
    root, plan, found, _ = measured
    with Ledger(root.sweep("small").ledger) as ledger:
        begin(ledger, plan)
    given = ["students", "latency", "small", "--root", str(root.path), "--format", "json"]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    large, small = json.loads(done.stdout)
    assert (large["student"], small["student"]) == ("resnet32", "resnet8")
    assert large["macs"] > small["macs"] > 0
    assert small["ms_1"] == pytest.approx(found["resnet8"][0]["milliseconds"], abs=1e-3)
    assert small["images_per_second"] == pytest.approx(64_000 / found["resnet8"][1]["milliseconds"], abs=1)
    assert (small["device"], small["threads"]) == ("cpu", found["resnet8"][0]["threads"])


def test_what_was_measured_on_a_busy_machine_is_named() -> None:
    busy = known(1.0, 2.0)
    assert latency.unsteady(busy) == []
    busy["resnet8"][1]["milliseconds"] *= 2
    assert latency.unsteady(busy) == ["resnet8"]
    told = "1 ms for one image, {} ms for 64 (the CPU, 2 threads; medians of 500 and 500 passes{})"
    assert latency.words(known(1.0, 2.0)["resnet8"]) == told.format(64, "")
    assert latency.words(busy["resnet8"]) == told.format(128, "; beside other work, it seems")


@pytest.mark.slow(10)
def test_a_network_that_cannot_be_measured_is_named(folder: Folder, root: Root) -> None:
    folder.write(
        my="from trainers import model\nfrom torch import nn\n"
        "class Stops(nn.Module):\n"
        "    def __init__(self, n):\n        super().__init__()\n        self.head = nn.Linear(192, n)\n"
        "    def forward(self, x):\n"
        "        if len(x) == 64:\n            raise ValueError('enough')\n        return self.head(x.flatten(1))\n"
        "@model('stops')\ndef stops(num_classes):\n    return Stops(num_classes)\n"
    )
    spec = folder.spec(["my.py"], pairs=["resnet8 -> stops"], methods=["kd"], dataset={"digits": {"image_size": 8}})
    plan = build_plan(spec)
    with pytest.raises(InputError, match=r"the latency of stops cannot be measured: ValueError: enough"):
        latency.measured(plan, root)
    assert not root.latency.exists()
    unload()


# -- what it is to a sweep --------------------------------------------------------------------------------------------


def test_it_is_in_no_key_and_makes_no_other_plan(small_plan: Plan) -> None:
    plain = searched()
    here, there = (latency.told(plain, known(small, 2.0)) for small in (1.0, 3.0))
    assert [cell.student_latency for cell in here.cells] == [2.0, 1.0]
    assert [cell.id for cell in here.cells] == [cell.id for cell in there.cells] == [cell.id for cell in plain.cells]
    noted = json.loads(json.dumps(here.to_json()))
    assert Plan.from_json(noted).cells == here.cells
    assert there.is_noted_as(noted)
    assert plain.is_noted_as(noted)
    assert "latencies" not in plain.to_json()
    assert all("student_latency" not in cell for cell in plain.to_json()["cells"])
    assert latency.told(small_plan, {}) == small_plan


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_what_a_search_tries_depends_on_no_machine(sampler: str) -> None:
    methods = [{"kd": {"alpha": {"range": [0.1, 9]}, "temperature": {"range": [1, 8]}}}]
    spec = small_spec(
        methods=methods, seeds=1, search=SEARCH | {"sampler": sampler, "trials": 9, "deterministic": True}
    )
    plan = build_plan(spec)
    tried = []
    for milliseconds in (0.001, 1234.5):
        (cell,) = latency.told(plan, known(milliseconds, 1.0)).cells
        search = CellSearch(cell)
        for number in range(9):
            params = search.suggest()
            key = str(number)
            search.ask(params, key)
            last = {"val_acc": 50 + 7 * params["alpha"] - params["temperature"], "test_acc": 1.0}
            search.tell(key, "finished", {"last": last, "best": last, "seconds": 1.0})
        tried.append([asked.params for asked in search.asked])
        assert search.asked[0].values == (pytest.approx(last_of(search)), milliseconds)
        assert len(search.chosen()) == 1, "of one student the best accuracy alone is on the front"
    assert tried[0] == tried[1]


def last_of(search: CellSearch) -> float:
    params = search.asked[0].params
    return 50 + 7 * float(params["alpha"]) - float(params["temperature"])


@pytest.mark.parametrize(("larger", "on_the_front"), [(90.0, ("resnet8", "resnet32")), (80.0, ("resnet8",))], ids=str)
def test_the_pareto_front_over_all_cells_is_told_by_latency(
    ledger: Ledger, larger: float, on_the_front: tuple[str, ...]
) -> None:
    plan = latency.told(searched(), known(0.5, 1.25))
    play(ledger, plan, lambda slot: larger if slot.pair == "resnet20→resnet32" else 80.0)
    assert Searches.read(plan, ledger)[0].asked[0].values is not None
    *_, front = leaderboard(ledger).findings
    shown = {"resnet8": f"{80.0:.2f} % at 0.5 ms", "resnet32": f"{larger:.2f} % at 1.25 ms"}
    assert front == "Pareto front over all cells, test accuracy against the student's latency: " + "; ".join(
        f"kd tuned α=1, resnet20→{name} ({shown[name]} for one image)" for name in on_the_front
    )


def test_the_report_has_it_beside_the_multiply_accumulates(ledger: Ledger) -> None:
    plan = latency.told(searched(), known(0.5, 1.25))
    play(ledger, plan, lambda _: 80.0)
    shown = str(networks(history_of(ledger)))
    assert "ms, 1 image" in shown
    assert "1.25" in shown
    assert "on the CPU with 2 threads of the machine that ran the sweep, in float32" in shown
    begin(ledger, searched())
    assert "ms, 1 image" not in str(networks(history_of(ledger)))


def test_a_root_without_any_is_not_written_to(root: Root, small_plan: Plan, tmp_path: Path) -> None:
    assert latency.remembered(small_plan, root) == {}
    assert list(tmp_path.iterdir()) == []
