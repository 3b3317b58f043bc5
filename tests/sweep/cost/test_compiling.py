"""When it pays to compile: what is measured, what is decided by it, and how long that holds."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from search_spaces.schema import Spec
from sweep.cli.app import app
from sweep.cost import compiling
from sweep.cost.compiling import decide, known, said, settled
from sweep.cost.rehearsals import Layout
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.compiling import undecided
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import SPEC, small_spec
from tests.support.own import TINYNET
from trainers.code import unload
from trainers.config import TrialConfig
from trainers.errors import InputError
from trainers.rehearsal import Rehearsal
from trainers.teacher.store import TeacherStore

LONG = {"recipe": SPEC["recipe"] | {"compile": "auto", "epochs": 1000}, "pairs": ["resnet14 -> resnet8"]}


class Machine:
    """Stands for the rehearsals: a network's epoch takes so many seconds, plain and compiled, and its compiler."""

    def __init__(self, plain: float = 1.0, compiled: float | Exception = 0.5, compiler: float = 20.0) -> None:
        self.plain, self.compiled, self.compiler = plain, compiled, compiler
        self.asked: list[tuple[str, bool]] = []

    def __call__(self, trial: TrialConfig, plan: Plan, layout: Layout) -> list[Rehearsal]:
        asked = trial.recipe.compile
        assert isinstance(asked, bool)
        self.asked.append((trial.model, asked))
        if asked and isinstance(self.compiled, Exception):
            raise self.compiled
        each = self.compiled if asked and not isinstance(self.compiled, Exception) else self.plain
        return [Rehearsal(each, 0.0, 1.0, 0, 0.1 + self.compiler * asked)] * layout.trials


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Root]:
    root = Root(tmp_path / "runs")
    root.path.mkdir()
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    yield root


def settle(spec: Spec, root: Root, machine: Machine, patch: pytest.MonkeyPatch, **how: Any) -> tuple[Spec, list[str]]:
    heard: list[str] = []
    patch.setattr(compiling, "rehearse_together", machine)
    return settled(spec, root, TeacherStore(root.teachers, root.storage), heard.append, **how), heard


def decisions(spec: Spec) -> dict[str, bool]:
    return {one["network"]: one["compile"] for one in spec.compiled.values()}


# -- what is decided --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "plain", "compiled", "compiler", "pays"),
    [
        (240, 10.0, 8.0, 40.0, True),  # 480 s for 40
        (20, 10.0, 8.0, 40.0, False),  # 40 s for 40: not so surely
        (31, 10.0, 8.0, 40.0, True),  # 62 s for 40
        (240, 10.0, 10.0, 0.0, False),
        (240, 10.0, 11.0, 0.0, False),
    ],
)
def test_it_pays_where_the_epochs_of_a_trial_save_more_than_the_compiler_takes(
    epochs: int, plain: float, compiled: float, compiler: float, pays: bool
) -> None:
    assert decide("resnet20", epochs, plain, compiled, compiler).compile is pays


def test_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    spec, heard = settle(small_spec(**LONG), root, Machine(), monkeypatch)
    told = (
        "compile: auto: resnet8 is compiled: an epoch takes 0.5 instead of 1 s, the compiler 20 s, which 40 epochs save"
    )
    assert f"{told}; a trial has 1000" in heard
    assert set(said(spec, build_plan(spec))) <= set(heard)


def test_what_does_not_compile_is_trained_as_it_is(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    failing = Machine(compiled=InputError("kd on resnet8 cannot be rehearsed: no compiler"))
    spec, heard = settle(small_spec(**LONG), root, failing, monkeypatch)
    assert decisions(spec) == {"resnet14": False, "resnet8": False}
    assert any("resnet8 is not compiled: kd on resnet8 cannot be rehearsed: no compiler" in line for line in heard)


def test_of_short_trials_the_compiler_is_not_measured(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    machine = Machine(plain=0.2)  # 200 seconds a trial
    spec, _ = settle(small_spec(**LONG), root, machine, monkeypatch)
    assert decisions(spec) == {"resnet14": False, "resnet8": False}
    assert not any(compiled for _, compiled in machine.asked)


def test_the_faster_of_two_plain_rehearsals_counts(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    """One before and one after: what else ran meanwhile says nothing for the compiler."""
    machine = Machine(compiled=0.9)
    slow = iter([2.0, 0.8, 2.0, 0.8])

    def busy(trial: TrialConfig, plan: Plan, layout: Layout) -> list[Rehearsal]:
        machine.plain = machine.plain if trial.recipe.compile else next(slow)
        return machine(trial, plan, layout)

    monkeypatch.setattr(compiling, "rehearse_together", busy)
    spec = settled(small_spec(**LONG), root, TeacherStore(root.teachers, root.storage), lambda line: None)
    assert decisions(spec) == {"resnet14": False, "resnet8": False}


# -- how long it holds ------------------------------------------------------------------------------------------------


def test_it_is_measured_once_for_all_sweeps_of_a_root(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    first, _ = settle(small_spec(**LONG), root, Machine(), monkeypatch)
    another = small_spec(**LONG | {"name": "another", "methods": ["kd", "dkd"]})
    machine = Machine(compiled=2.0)  # another machine, or another day
    again, heard = settle(another, root, machine, monkeypatch)
    assert decisions(again) == decisions(first) == {"resnet14": True, "resnet8": True}
    assert not machine.asked and not heard


def test_a_sweep_keeps_what_it_was_begun_with_elsewhere(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    """Its ledger comes from a storage, say; a root that has measured otherwise does not re-key its trials."""
    spec = small_spec(**LONG)
    settle(spec, root, Machine(compiled=2.0), monkeypatch)
    assert decisions(known(spec, root)) == {"resnet14": False, "resnet8": False}
    elsewhere, _ = settle(spec, Root(root.path.parent / "elsewhere"), Machine(), monkeypatch)
    with Ledger(root.sweep(spec.name).ledger) as ledger:
        ledger.append("plan", body=build_plan(elsewhere).to_json())
    assert decisions(known(spec, root)) == {"resnet14": True, "resnet8": True}
    assert decisions(known(small_spec(**LONG | {"name": "another"}), root)) == {"resnet14": False, "resnet8": False}


def test_other_images_are_measured_anew(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    settle(small_spec(**LONG), root, Machine(), monkeypatch)
    larger = small_spec(**LONG | {"dataset": {"digits": {"image_size": 16}}})
    assert len(undecided(known(larger, root))) == 2


def test_of_a_gpu_something_else_is_known(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    settle(small_spec(**LONG), root, Machine(), monkeypatch)
    on_gpu = small_spec(**LONG | {"compute": {"gpus": 0.5}})
    assert undecided(known(on_gpu, root))
    auto = small_spec(**LONG | {"compute": {"gpus": "auto"}})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert not undecided(known(auto, root))
    assert undecided(known(auto, root, here=False))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert undecided(known(auto, root))


def test_who_cannot_decide_says_what_to_do(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    spec = small_spec(**LONG)
    with pytest.raises(InputError, match=r"not decided yet for resnet14, resnet8: run `sweep plan small.yaml --calib"):
        settle(spec, root, Machine(), monkeypatch, here=False)
    settle(spec, root, Machine(), monkeypatch)
    assert decisions(settle(spec, root, Machine(), monkeypatch, here=False)[0])["resnet8"]


def test_of_several_that_divide_a_sweep_each_goes_by_what_was_measured_on_such_a_machine(
    monkeypatch: pytest.MonkeyPatch, root: Root
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    spec = small_spec(**LONG | {"compute": {"gpus": "auto"}})
    with pytest.raises(InputError, match="not decided yet for resnet14, resnet8"):
        settle(spec, root, Machine(), monkeypatch, alone=False)
    settle(spec, root, Machine(), monkeypatch)
    assert decisions(settle(spec, root, Machine(), monkeypatch, alone=False)[0]) == {"resnet14": True, "resnet8": True}


def test_of_a_teacher_that_no_method_asks_for_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    machine = Machine()
    spec, _ = settle(small_spec(**LONG | {"methods": ["scratch"]}), root, machine, monkeypatch)
    assert {network for network, _ in machine.asked} == {"resnet8"}
    assert decisions(spec) == {"resnet8": True}
    settle(spec, root, Machine(), monkeypatch, here=False)  # nothing is left to decide


def test_what_an_edited_spec_trains_no_longer_is_not_spoken_of(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    begun, _ = settle(small_spec(**LONG), root, Machine(), monkeypatch)
    with Ledger(root.sweep(begun.name).ledger) as ledger:
        ledger.append("plan", body=build_plan(begun).to_json())
    longer = small_spec(**LONG | {"recipe": LONG["recipe"] | {"epochs": 2000}})
    spec, _ = settle(longer, root, Machine(), monkeypatch)
    told = said(spec, build_plan(spec))
    assert len(told) == 2 and all(line.endswith("a trial has 2000") for line in told)


def test_a_gpu_that_is_not_there_is_asked_for_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, root: Root
) -> None:
    machine = Machine()
    monkeypatch.setattr(compiling, "gpus", list)
    with pytest.raises(InputError, match=r"compute\.gpus asks for GPUs, and torch finds none"):
        settle(small_spec(**LONG | {"compute": {"gpus": 1}}), root, machine, monkeypatch)
    assert not machine.asked


# -- as it is typed ---------------------------------------------------------------------------------------------------

TYPED = """
name: typed
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: EPOCHS, warmup_epochs: 0, samples_per_class: 8, test_per_class: 8, compile: auto}
pairs: [resnet8 -> resnet8]
methods: [scratch, kd]
seeds: 1
compute: {cpus: 1}
"""


@pytest.fixture
def one_core() -> Iterator[None]:
    """Trials are rehearsed one at a time, and no thread waits for another."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)
    unload()


def typed(*words: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("one_core")
def test_a_short_sweep_runs_as_one_that_compiles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    shutil.copyfile(empty_store, Root(Path("runs")).mlflow_database)
    Path("auto.yaml").write_text(TYPED.replace("EPOCHS", "2"))
    Path("plain.yaml").write_text(TYPED.replace("EPOCHS", "2").replace("auto", "false").replace("typed", "plain"))
    assert "compile: auto of resnet8 counts as false until it is measured" in typed("plan", "auto.yaml")[0]
    told = "".join(typed("run", "auto.yaml", "--local"))
    assert re.search(r"compile: auto: resnet8 is not compiled: its 2 epochs take .*, too short to gain by it", told)
    planned = typed("plan", "plain.yaml")[0]
    assert " done in typed, 0 epochs to run" in planned


@pytest.mark.slow
@pytest.mark.usefixtures("one_core")
def test_a_long_one_is_measured_and_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network of one layer: the compiler takes its time for that too."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.py").write_text(TINYNET)
    Path("auto.yaml").write_text(TYPED.replace("EPOCHS", "100000").replace("resnet8", "tinynet") + "code: [tiny.py]\n")
    shown, measured = typed("plan", "auto.yaml", "--calibrate")
    assert "measuring an epoch of tinynet compiled, and the compiler" in measured
    (line,) = {line for line in shown.splitlines() if line.startswith("compile: auto: tinynet is ")}
    found = re.search(r" an epoch takes (.*) instead of (.*) s, the compiler (\d+)", line)
    assert found and int(found[3]) > 1
    pays = 100000 * (float(found[2]) - float(found[1])) > 1.5 * int(found[3])
    assert ("is compiled" in line) is pays
