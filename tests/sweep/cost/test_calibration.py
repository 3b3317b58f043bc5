"""How many trials side by side a machine trains fastest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import Pipe, get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from sweep.cost import calibration, rehearsals
from sweep.cost.calibration import UNTRAINED, Calibration, Measured, Timed, best, calibrate, remembered, settled
from sweep.cost.estimate import Pace, estimate
from sweep.cost.rehearsals import Layout
from sweep.layout import Root
from sweep.plan.expand import build_plan
from sweep.plan.kinds import kind_name
from sweep.plan.slots import Plan, Slot
from tests.support.examples import slot_of, small_spec
from trainers.config import TeacherConfig, TrialConfig
from trainers.data import DATASETS
from trainers.errors import InputError
from trainers.rehearsal import Rehearsal, rehearse, stand_in

TINY: dict[str, Any] = {
    "recipe": {"base": "digits", "epochs": 3, "samples_per_class": 8, "test_per_class": 8, "batch_size": 16},
    "pairs": ["resnet14 -> resnet8"],
    "methods": ["kd"],
    "seeds": 1,
}


def measured(trials: int, images_per_second: float, cpus: int = 1, gpus: float = 0) -> Measured:
    return Measured(Layout(trials, cpus, gpus), images_per_second, 0.5)


@pytest.fixture
def plan() -> Plan:
    return build_plan(small_spec(**TINY))


# -- layouts ----------------------------------------------------------------------------------------------------------


def test_the_best_layout_trains_the_most_images_together() -> None:
    assert best((measured(4, 300.0), measured(2, 350.0), measured(1, 100.0))).layout.trials == 2


def test_of_nearly_equal_layouts_the_one_of_fewer_trials_is_best() -> None:
    assert best((measured(1, 100.0), measured(2, 104.0), measured(4, 108.0))).layout.trials == 4
    assert best((measured(1, 100.0), measured(2, 104.0))).layout.trials == 1


def test_a_layout_that_does_not_fit_is_never_best() -> None:
    assert best((measured(1, 10.0), measured(2, 0.0))).layout.trials == 1


def test_the_cores_of_a_machine_are_never_given_out_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "cores", lambda: 6)
    layouts = list(calibration._layouts(on_gpu=False))
    assert [(one.trials, one.cpus) for one in layouts] == [(6, 1), (3, 2), (1, 6)]


def test_a_gpu_is_shared_by_more_and_more_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "cores", lambda: 12)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    layouts = [(one.trials, one.cpus, one.gpus) for one in calibration._layouts(on_gpu=True)]
    assert layouts == [(1, 6, 1.0), (2, 3, 0.5), (4, 1, 0.25), (8, 1, 0.125)]


# -- a rehearsal ------------------------------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_a_rehearsal_says_what_an_epoch_of_the_whole_trial_takes(plan: Plan) -> None:
    slot = slot_of(plan, "kd")
    data = DATASETS[plan.dataset].model_validate(plan.source).load()
    trial = slot.trial(TeacherConfig(architecture="resnet14", hash=UNTRAINED))
    found = rehearse(trial, data=data, teacher=stand_in("resnet14", data))
    assert found.epoch_seconds > 0
    assert found.images_per_second > 0
    assert found.peak_bytes == 0
    longer = trial.model_copy(update={"recipe": trial.recipe.model_copy(update={"samples_per_class": 50})})
    much = rehearse(longer, data=data, teacher=stand_in("resnet14", data))
    assert much.epoch_seconds > found.epoch_seconds  # six times the images


def test_a_stand_in_has_logits_of_an_ordinary_size(plan: Plan) -> None:
    data = DATASETS[plan.dataset].model_validate(plan.source).load()
    images = next(iter(data.train.batches([torch.arange(64)]))).images
    with torch.inference_mode():
        logits = stand_in("resnet56", data)(images.float() / 255)
    logits = logits[0] if isinstance(logits, tuple) else logits
    assert logits.isfinite().all()
    assert logits.abs().max() < 100


# -- processes that end badly -----------------------------------------------------------------------------------------


def trial_of(plan: Plan) -> TrialConfig:
    return slot_of(plan, "kd").trial()


def answers(plan: Plan, *sent: Rehearsal | str | None) -> list[Rehearsal]:
    """What comes of processes that sent this; one that sent nothing is dead."""
    receivers = []
    for answer in sent:
        receiver, sender = Pipe(duplex=False)
        if answer is not None:
            sender.send(answer)
        sender.close()
        receivers.append(receiver)
    barrier = get_context("spawn").Barrier(len(sent))
    found = rehearsals._answers(receivers, barrier, trial_of(plan))
    assert not barrier.broken
    return found


def test_rehearsals_are_heard_in_any_order(plan: Plan) -> None:
    one, other = Rehearsal(1.0, 0.5, 100.0, 0, 1.5), Rehearsal(2.0, 0.5, 50.0, 0, 2.5)
    assert sorted(found.epoch_seconds for found in answers(plan, one, other)) == [1.0, 2.0]


def test_a_process_that_the_system_ended_had_too_little_memory(plan: Plan) -> None:
    with pytest.raises(MemoryError, match="2 such trials do not fit"):
        answers(plan, Rehearsal(1.0, 0.5, 100.0, 0, 1.5), None)
    with pytest.raises(MemoryError):
        answers(plan, "", None)


def test_what_went_wrong_is_told_once(plan: Plan) -> None:
    with pytest.raises(InputError, match=r"kd on resnet8 cannot be rehearsed: ValueError: no$"):
        answers(plan, "", "ValueError: no")
    with pytest.raises(InputError, match="neighbours took more than 900 seconds"):
        answers(plan, "", "")


# -- gpus: auto -------------------------------------------------------------------------------------------------------


@dataclass
class Auto:
    plan: Plan
    kind: str


@pytest.fixture
def auto() -> Auto:
    plan = build_plan(small_spec(**TINY, compute={"gpus": "auto"}))
    slot = slot_of(plan, "kd")
    return Auto(plan, kind_name(slot.pair, slot.config, True))


def test_auto_is_no_gpu_where_there_is_none(auto: Auto, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert settled(auto.plan, Root(tmp_path)).compute["gpus"] == 0


def test_auto_is_the_share_that_was_measured_here(auto: Auto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    root = Root(tmp_path)
    assert settled(auto.plan, root).compute["gpus"] == "auto"
    layouts = (measured(1, 100.0, gpus=1.0), measured(2, 180.0, gpus=0.5), measured(4, 184.0, gpus=0.25))
    calibration._remember(root, Calibration({auto.kind: layouts}, {}))
    assert settled(auto.plan, root).compute["gpus"] == 0.5


def test_a_cluster_believes_what_another_machine_measured(
    auto: Auto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, own = Root(tmp_path), calibration.machine()
    monkeypatch.setattr(calibration, "machine", lambda: "another")
    calibration._remember(root, Calibration({auto.kind: (measured(1, 100.0, gpus=1.0), measured(2, 180.0, gpus=0.5))}))
    monkeypatch.setattr(calibration, "machine", lambda: own)
    assert settled(auto.plan, root, cluster=True).compute["gpus"] == 0.5


def test_a_number_stays_what_it_is(auto: Auto, tmp_path: Path) -> None:
    plan = replace(auto.plan, compute=auto.plan.compute | {"gpus": 0.25})
    assert settled(plan, Root(tmp_path)) is plan


# -- what is remembered -----------------------------------------------------------------------------------------------


def test_machines_are_remembered_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(tmp_path)
    here = Calibration({"a": (measured(1, 1.0),)}, {"a": Timed(2.0, 0.5)})
    calibration._remember(root, here)
    monkeypatch.setattr(calibration, "machine", lambda: "another")
    assert remembered(root) == Calibration()
    calibration._remember(root, Calibration({}, {"b": Timed(9.0, 0.0)}))
    monkeypatch.undo()
    assert remembered(root) == here


def test_who_shares_a_teacher_pays_a_part_of_it(root: Root, plan: Plan) -> None:
    slot = slot_of(plan, "kd")
    kind = kind_name(slot.pair, slot.config, False)
    calibration._remember(root, Calibration({}, {kind: Timed(2.0, 1.0)}))
    assert Pace(root).seconds(slot.pair, slot.config) == 3.0
    assert Pace(root).seconds(slot.pair, slot.config, sharing=4) == 2.25
    assert Pace(root, on_gpu=True).seconds(slot.pair, slot.config) is None


def test_with_few_labels_a_trial_is_of_a_kind_of_its_own_and_with_all_of_its_old_one(plan: Plan) -> None:
    slot = slot_of(plan, "kd")
    earlier = {name: value for name, value in slot.config["recipe"].items() if name != "labelled_fraction"}
    few = slot.config | {"recipe": earlier | {"labelled_fraction": 0.1}}
    fewer = slot.config | {"recipe": earlier | {"labelled_fraction": 0.05}}
    kinds = [kind_name(slot.pair, config, False) for config in (slot.config, few, fewer)]
    assert len(set(kinds)) == 3
    assert kind_name(slot.pair, slot.config | {"recipe": earlier}, False) == kinds[0]


# -- the whole --------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(root: Root, monkeypatch: pytest.MonkeyPatch) -> Iterator[Root]:
    """The data set's cache below the root, as the commands have it."""
    monkeypatch.setenv("SWEEP_CACHE", str(root.cache))
    yield root


@pytest.mark.slow
def test_a_machine_is_measured_once(cached: Root, plan: Plan) -> None:
    said: list[str] = []
    layouts = calibrate(plan, cached, said.append)
    assert [one.layout.trials for one in layouts][-1] == 1
    assert all(one.images_per_second > 0 for one in layouts)
    assert said[0].startswith("resnet14→resnet8 · kd · seed 0, ")
    assert estimate(plan, set(), {}, cached).unknown == 0
    again: list[str] = []
    assert calibrate(plan, cached, again.append) == layouts
    assert not again


@pytest.mark.slow(3)
def test_what_cannot_be_trained_is_told(cached: Root, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "cores", lambda: 1)  # one process to start

    def broken(slot: Slot) -> Slot:
        return replace(slot, teacher=None, config=slot.config | {"method": {"name": "nothing", "params": {}}})

    with pytest.raises(InputError, match=r"nothing on resnet8 cannot be rehearsed: .*unknown method 'nothing'"):
        calibrate(replace(plan, slots=tuple(map(broken, plan.students))), cached, lambda what: None)
