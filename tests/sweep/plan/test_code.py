"""Own code in a plan: in the keys of what uses it and of nothing else, kept for workers, and never mixed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.job import describe
from sweep.engine.worker import data_of
from sweep.layout import Root, SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan import code as own
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import leaderboard
from sweep.results.outgrown import outgrown
from sweep.results.standing import ended
from tests.support.boards import cell
from tests.support.examples import SPEC, job_of, slot_of, small_spec
from tests.support.own import METHOD, MYKD, TINYNET, Folder, folder
from tests.support.simulation import World, driver, run
from trainers.code import Code, current, load, unload
from trainers.distillers import METHODS
from trainers.errors import InputError

__all__ = ["folder"]

EDITED = MYKD.replace("return beta *", "return 0.5 * beta *")
METHODS_OF = ["kd", "mykd", {"dhkd": {"main": "mykd"}}, "dhkd"]


def plan_of(folder: Folder, losses: str = MYKD, nets: str = TINYNET, **changes: Any) -> Plan:
    folder.write(losses=losses, nets=nets)
    given = {"pairs": ["resnet20 -> resnet8", "resnet20 -> tinynet"], "methods": METHODS_OF} | changes
    return build_plan(folder.spec(["losses.py", "nets.py"], **given))


def ids(plan: Plan) -> dict[str, str]:
    return {slot.name: slot.id for slot in plan.slots}


def changed(before: Plan, after: Plan) -> set[str]:
    assert ids(before).keys() == ids(after).keys()
    return {name for name, key in ids(before).items() if ids(after)[name] != key}


def test_trials_without_own_code_have_the_keys_that_they_had(folder: Folder) -> None:
    plan, code = plan_of(folder), current()
    plain = build_plan(small_spec(methods=["kd", "dhkd"]))
    assert set(ids(plain).values()) <= set(ids(plan).values())
    assert not plain.code
    assert plan.code == code.key


def test_an_own_network_is_counted_where_it_can_be(folder: Folder) -> None:
    """One that looks at its numbers has no outline, and trains all the same."""
    by_hand = {"parameters": 8 * 3 * 9 + 8 + 8 * 10 + 10, "macs": 8 * 3 * 9 * 64 + 8 * 10}
    assert plan_of(folder).networks["tinynet"] == by_hand
    looks = TINYNET.replace("return self.fc", "assert float(x.abs().max()) < 1e9\n        return self.fc")
    found = plan_of(folder, nets=looks)
    assert found.networks.keys() == {"resnet20", "resnet8"}
    assert "resnet20→tinynet" in {slot.pair for slot in found.students}


def test_an_edited_loss_makes_its_own_trials_others_and_none_else(folder: Folder) -> None:
    found = changed(plan_of(folder), plan_of(folder, EDITED))
    assert found == {name for name in ids(plan_of(folder)) if "mykd" in name}
    assert len(found) == 2 * 2 * 2


def test_an_edited_network_makes_its_pairs_trials_others(folder: Folder) -> None:
    found = changed(plan_of(folder), plan_of(folder, nets=TINYNET.replace("nn.ReLU()", "nn.GELU()")))
    assert found == {name for name in ids(plan_of(folder)) if "tinynet" in name}


def test_an_edited_network_that_teaches_makes_its_students_others(folder: Folder) -> None:
    pairs = {"pairs": ["tinynet -> resnet8"]}
    edited = TINYNET.replace("nn.ReLU()", "nn.GELU()")
    assert changed(plan_of(folder, **pairs), plan_of(folder, nets=edited, **pairs)) == set(
        ids(plan_of(folder, **pairs))
    )


def test_a_comment_makes_nothing_another(folder: Folder) -> None:
    plan = plan_of(folder)
    again = plan_of(folder, f"# mine\n{MYKD}")
    assert changed(plan, again) == set()
    assert plan.code != again.code  # the files as they are written, which workers read


def test_searched_and_gridded_hyperparameters_of_a_function(folder: Folder) -> None:
    method = {"mykd": {"beta": {"range": [1, 4]}, "temperature": {"choice": [2, 4]}}}
    plan = plan_of(folder, methods=[method], search={"trials": 3})
    space = plan.cells[0].space
    assert (space["beta"]["range"], space["temperature"]["choice"]) == ([1, 4], [2, 4])
    other = plan_of(folder, EDITED, methods=[method], search={"trials": 3})
    assert not {searched.id for searched in plan.cells} & {searched.id for searched in other.cells}
    grid = plan_of(folder, methods=[{"mykd": {"beta": [1, 4], "weight": [1, 2]}}])
    assert len({slot.label for slot in grid.students}) == 4


OWN_CROSS_ENTROPY = """
from torch.nn import functional as F
from trainers import method
from trainers.distillers import LogitDistiller, Losses, MethodParams

@method("mykd")
class Own(LogitDistiller):
    Params = MethodParams
    reads_labels = False

    def terms(self, student, teacher, targets):
        return {{"own": (student - teacher.detach()).square().mean()}}

    def weights(self, epoch):
        return {{"ce": 1.0, "own": 1.0}}
{losses}"""
LOSSES = """
    def losses(self, batch):
        logits = self.passed(batch.images).logits.float()
        return Losses(logits, {{"ce": {ce}, **self.terms(logits, batch.need_teacher().logits, batch.targets)}})
"""


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        (LOSSES.format(ce="F.cross_entropy(logits, batch.targets)"), True),
        (LOSSES.format(ce="-logits.log_softmax(1).gather(1, batch.targets[:, None]).mean()"), True),
        (LOSSES.format(ce="batch.ce(logits)"), False),
        ("    def losses(self, batch):\n        return super().losses(batch)\n", False),
        ("", False),
    ],
)
def test_the_plan_says_where_a_class_computes_a_cross_entropy_of_its_own(
    folder: Folder, losses: str, told: bool
) -> None:
    text = OWN_CROSS_ENTROPY.format(losses=losses)
    for recipe in ({"label_smoothing": 0.1}, {"label_smoothing": {"range": [0, 0.2]}}, {"labelled_fraction": 0.5}):
        plan = plan_of(folder, text, methods=["kd", "mykd"], recipe=SPEC["recipe"] | recipe)
        notes = [note for note in plan.notes if "cross-entropy of its own" in note]
        assert [note.partition(" computes")[0] for note in notes] == ["method 'mykd'"] * told
    plain = plan_of(folder, text, methods=["kd", "mykd"])
    assert not any("cross-entropy of its own" in note for note in plain.notes)


def test_a_function_has_no_cross_entropy_of_its_own(folder: Folder) -> None:
    plan = plan_of(folder, recipe=SPEC["recipe"] | {"label_smoothing": 0.1})
    assert not any("cross-entropy of its own" in note for note in plan.notes)


def test_a_pair_has_values_of_its_own(folder: Folder) -> None:
    pairs = ["resnet20 -> resnet8", {"resnet20 -> tinynet": {"methods": {"mykd": {"beta": 9}}}}]
    plan = plan_of(folder, pairs=pairs, methods=["mykd"])
    assert {slot.pair: slot.config["method"]["params"]["beta"] for slot in plan.students} == {
        "resnet20→resnet8": 2.0,
        "resnet20→tinynet": 9.0,
    }


def accuracy(value: float) -> Any:
    return lambda job, epoch: value


def test_rows_of_old_and_new_code_never_share_a_mean(folder: Folder, tmp_path: Path) -> None:
    one = {"pairs": ["resnet20 -> resnet8"], "methods": ["kd", "mykd"]}
    old = plan_of(folder, **one)
    world = World(tmp_path / "sweep", accuracy(40.0))
    with driver(world, old) as first:  # one seed of each
        for _ in range(3):
            job = first.start()
            assert job is not None
            for _ in range(job.slot.epochs):
                first.step(job.key)
    new = plan_of(folder, EDITED, **one)
    with Ledger(world.paths.ledger) as ledger:
        over = ended(new, world.teachers, ledger)
        remark = outgrown(new, {slot.id for slot in new.slots if job_of(new, slot).key in over}, ledger)
    assert "run again: 1 (code.method mykd" in remark
    world.curve = accuracy(80.0)
    run(world, new, random.Random(0), workers=2)
    with Ledger(world.paths.ledger) as ledger:
        board = leaderboard(ledger)
    means = {label: cell(board, label).mean for label in ("kd", "mykd")}
    assert means == {"kd": (39.0 + 79.0) / 2, "mykd": 79.0}  # on validation images


# -- kept, and read by workers --------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Root:
    return Root(tmp_path / "runs")


def test_a_worker_loads_what_was_kept(folder: Folder, place: Root) -> None:
    plan = plan_of(folder)
    own.keep(current(), place)
    job = job_of(plan, slot_of(plan, "mykd", pair="resnet20→tinynet"))
    given = describe(job, plan, place)
    unload()
    for file in folder.path.iterdir():
        file.unlink()  # another machine has none of them
    assert data_of(given, job.trial).name == "digits"
    assert "mykd" in METHODS


def test_a_plan_without_code_asks_a_worker_for_none(place: Root) -> None:
    plan = build_plan(small_spec(methods=["kd"]))
    job = job_of(plan, slot_of(plan, "kd"))
    given = describe(job, plan, place)
    assert given["code"] == ""
    assert data_of(given, job.trial).name == "digits"


def test_a_worker_with_other_code_trains_nothing(folder: Folder, place: Root) -> None:
    plan = plan_of(folder)
    job = job_of(plan, slot_of(plan, "mykd", pair="resnet20→resnet8"))
    folder.load(losses=EDITED)
    own.keep(current(), place)
    given = describe(job, plan, place) | {"code": str(place.code(current().key))}
    with pytest.raises(InputError, match="this machine has other code of method mykd than the one the plan was made"):
        data_of(given, job.trial)


@pytest.mark.parametrize("damage", ["{", "[]", '{"losses.py": "x = 1"}'])
def test_kept_code_that_is_damaged_or_gone_is_told(folder: Folder, place: Root, damage: str) -> None:
    folder.load(losses=MYKD)
    path = place.code(current().key)
    with pytest.raises(InputError, match="the sweep's own code is missing here"):
        own.load_kept(path, place.storage)
    own.keep(current(), place)
    path.write_text(damage)
    with pytest.raises(InputError, match="code"):
        own.load_kept(path, place.storage)


def test_a_copy_for_people_is_the_latest(folder: Folder, tmp_path: Path) -> None:
    paths = SweepPaths(tmp_path / "sweep")
    own.lay_out(Code((("a.py", "x = 1\r\n"), ("pkg/__init__.py", ""))), paths)
    assert (paths.code / "a.py").read_bytes() == b"x = 1\r\n"
    own.lay_out(Code((("b.py", ""),)), paths)
    assert [path.name for path in paths.code.iterdir()] == ["b.py"]


def test_a_plan_made_before_there_was_code_is_read() -> None:
    plan = build_plan(small_spec(methods=["kd"]))
    written = plan.to_json()
    del written["code"]
    for slot in written["slots"]:
        slot["config"].pop("code", None)
    old = Plan.from_json(written)
    assert old.code == ""
    assert [slot.trial().key for slot in old.students] == [slot.trial().key for slot in plan.students]


def test_two_specs_one_after_the_other_do_not_know_each_other(folder: Folder) -> None:
    folder.write(one=METHOD.format(name="first"), two=METHOD.format(name="second"))
    first = folder.spec(["one.py"], methods=["first"])
    folder.spec(["two.py"], methods=["second"])
    assert "first" not in METHODS
    load(first.code)
    assert build_plan(first).students[0].method == "first"
    small_spec()
    assert not current()
    with pytest.raises(InputError, match="unknown method 'first'"):
        small_spec(**(SPEC | {"methods": ["first"]}))
