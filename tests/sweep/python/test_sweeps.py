"""A spec in Python's hands."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import sweep
from sweep.engine.display import PlainDisplay
from sweep.engine.job import Job
from sweep.engine.stop_signals import NOTICE
from sweep.formats import Format
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.preview import preview
from tests.support.examples import SPEC, begin, record, small_spec
from trainers import code
from trainers.errors import InputError, SpecError

TINY: dict[str, Any] = SPEC | {
    "recipe": {"base": "digits", "epochs": 2, "warmup_epochs": 0, "samples_per_class": 2, "test_per_class": 2},
    "pairs": ["resnet14 -> resnet8"],
    "methods": ["scratch", "kd"],
    "seeds": 1,
    "tracking": {"models": "none"},
}


def test_a_spec_comes_from_a_file_a_name_or_a_dictionary(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(small_spec().text)
    loaded = [sweep.load(tmp_path / "mine.yaml"), sweep.load(str(tmp_path / "mine.yaml")), sweep.load(SPEC)]
    assert {repr(one) for one in loaded} == {"Sweep('small' on digits: 1 pair; scratch, kd, dhkd; 2 seeds)"}
    assert repr(sweep.load(SPEC | {"seeds": 1})).endswith("dhkd; 1 seed)")
    assert sweep.load("digits-alpha").name == "digits-alpha"
    assert sweep.load("digits-alpha", smoke=True).name == "digits-alpha-smoke"


def test_a_spec_that_is_not_there_or_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'digits-alpha'"):
        sweep.load("digits-alhpa")
    (tmp_path / "wrong.yaml").write_text(small_spec().text.replace("kd", "kdd", 1))
    with pytest.raises(SpecError, match=r"wrong.yaml:\d+: .*unknown"):
        sweep.load(tmp_path / "wrong.yaml")


def test_a_plan_says_what_would_run_and_what_is_done(
    root: Root, ledger: Ledger, small_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = sweep.load(SPEC)
    planned = loaded.plan(root.path)
    assert (planned.trials, planned.done, planned.epochs_left) == (9, 0, 27)
    begin(ledger, small_plan)
    for slot in small_plan.students:
        if slot.label == "scratch":
            record(ledger, small_plan, slot, [80.0, 90.0, 91.0])
    planned = loaded.plan(root.path)
    assert (planned.done, planned.epochs_left) == (2, 21)
    frame = planned.table()
    assert frame.trials.sum() == 9
    assert set(frame.columns) == {"stage", "recipe", "pair", "method", "trials", "done", "elsewhere", "epochs"}
    assert repr(planned) == preview(small_spec(), root, Format.TABLE)
    assert "9 trials, 27 epochs; 2 done, 21 epochs to run" in repr(planned)
    assert planned._repr_html_().startswith("<pre>small on digits\n")
    bold = "\x1b[1mstage\x1b[0m"
    monkeypatch.setattr("sweep.results.preview.listing", lambda rows, how: f"{bold}\nconfirm\n")
    assert "\nstage\nconfirm\n" in repr(planned), "on a terminal, which prints heads bold"


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's environment stays as it is."""
    monkeypatch.setattr("sweep.engine.session.environment", lambda *_: None)


@pytest.mark.slow(10)
@pytest.mark.usefixtures("own_environment")
def test_a_sweep_runs_to_its_results_and_a_second_time_does_nothing(
    tmp_path: Path, new_store: Callable[[str], str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = new_store("tracked.db")
    results = sweep.load(TINY).run(local=True, tracking_uri=uri)
    assert results.states == {"finished": 3}
    assert "[3/3] finished" in capsys.readouterr().out
    assert len(results.epochs()) == 6
    assert results.student("resnet14 -> resnet8", "kd").size == (8, 8)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "tracked.db"}
    before = results.trials()
    again = sweep.load(TINY).run(local=True, tracking_uri=uri, progress=False)
    assert again.trials().equals(before)
    assert capsys.readouterr().out == ""


@pytest.mark.slow(20)
@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("number", [signal.SIGINT, NOTICE])
def test_a_run_that_is_interrupted_says_so_and_the_same_call_goes_on(
    tmp_path: Path, new_store: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted(self: PlainDisplay, job: Job) -> None:
        signal.raise_signal(number)

    uri, loaded = new_store("tracked.db"), sweep.load(TINY)
    with monkeypatch.context() as patch:
        patch.setattr(PlainDisplay, "started", interrupted)
        with pytest.raises(KeyboardInterrupt, match="sweep 'small' was stopped; the same call goes on"):
            loaded.run(tmp_path / "runs", local=True, tracking_uri=uri, progress=False)
    assert sweep.open("small", root=tmp_path / "runs").states == {"interrupted": 1, "waiting": 2}
    assert loaded.run(tmp_path / "runs", local=True, tracking_uri=uri, progress=False).states == {"finished": 3}


OWN = """
from torch import nn
from torch.nn import functional as F
from trainers import method, model

@method("mykd")
def mykd(student, teacher, targets, *, beta: float = 2.0):
    return F.cross_entropy(student, targets) + beta * F.mse_loss(student, teacher)

@model("tinynet")
def tinynet(num_classes: int):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, num_classes))
"""


@pytest.mark.slow(10)
@pytest.mark.usefixtures("own_environment")
def test_code_of_one_s_own_is_beside_the_notebook_and_comes_back_with_the_results(
    tmp_path: Path, new_store: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_losses.py").write_text(OWN)
    own = {"code": ["my_losses.py"], "pairs": ["resnet14 -> tinynet"], "methods": ["mykd"]}
    study, other = sweep.load(TINY | own), sweep.load(TINY)
    assert (other.plan().trials, study.plan().trials) == (3, 2), "each with its own code at hand"
    results = study.run(local=True, tracking_uri=new_store("tracked.db"), progress=False)
    assert results.states == {"finished": 2}
    (tmp_path / "my_losses.py").unlink()
    code.unload()
    student = sweep.open(TINY["name"]).student("resnet14 -> tinynet", "mykd")
    assert student(torch.zeros(1, 3, 8, 8)).shape == (1, 10)
    code.unload()
