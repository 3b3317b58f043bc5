"""Trials that share a process have the numbers that they have alone, whatever becomes of the others."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import pretended_gpu as on_gpu
from tests.trainers.examples import finish, small_trial
from trainers.code import settings_kept
from trainers.cohort import CohortTrial, fellows, fit_cohort
from trainers.config import DatasetConfig, TeacherConfig, TrialConfig
from trainers.contract.pretended_gpu import pretended
from trainers.data import ImageData, TrainingData
from trainers.distillers import Batch, Losses
from trainers.distillers.kd import KD
from trainers.errors import DivergedError, InputError
from trainers.fit import WEIGHTS, fit, seeded_model
from trainers.models import Network
from trainers.result import EpochResult
from trainers.storage.content import tensors_key
from trainers.teaching.logit_bank import LogitBank
from trainers.views.views import Views

EVERY_KIND: dict[str, tuple[str, dict[str, Any]]] = {
    "no teacher": ("scratch", {}),
    "logits": ("kd", {}),
    "logits with other weights": ("kd", {"alpha": 0.2}),
    "dropout": ("dhkd", {"head": "nonlinear"}),
    "other dropout": ("dhkd", {"head": "nonlinear", "alpha": 3}),
    "aligned gradients": ("dhkd", {"head": "nonlinear", "align": True}),
    "strong views": ("sld", {}),
    "teacher's maps": ("fitnet", {}),
    "a memory of all images": ("crd", {}),
    "another classifier": ("simkd", {}),
}
DIVERGES = ("kd", {"alpha": 1e30})
Outcome = tuple[list[EpochResult], str]


class Room:
    """Trains trials alone and together."""

    def __init__(self, data: ImageData, teacher: Network) -> None:
        self.data, self.teacher = data, teacher
        self.alone = cache(self._alone)

    def _alone(self, method: str, params: tuple[tuple[str, Any], ...], **recipe: Any) -> Outcome:
        config = small_trial(method, dict(params), **recipe)
        results, student = finish(fit(config, data=self.data, teacher=self._teacher([config])))
        return results, tensors_key(student.state_dict())

    def _teacher(self, configs: Sequence[TrialConfig]) -> Network | None:
        return self.teacher if any(config.teacher for config in configs) else None

    def begin(self, configs: Sequence[TrialConfig], folder: Path | None = None, **more: Any) -> list[CohortTrial]:
        folders = [folder / config.key for config in configs] if folder else None
        return fit_cohort(configs, data=self.data, teacher=self._teacher(configs), folders=folders, **more)


@pytest.fixture(scope="module")
def room(few: ImageData, teacher: Network) -> Room:
    return Room(few, teacher)


def trials(*named: tuple[str, dict[str, Any]], **recipe: Any) -> list[TrialConfig]:
    return [small_trial(method, params, **recipe) for method, params in named]


def alone(room: Room, *named: tuple[str, dict[str, Any]], **recipe: Any) -> list[Outcome]:
    return [room.alone(method, tuple(params.items()), **recipe) for method, params in named]


def outcome(trial: CohortTrial) -> Outcome:
    results, student = finish(trial)
    return results, tensors_key(student.state_dict())


# -- the numbers ------------------------------------------------------------------------------------------------------


def test_every_kind_of_method_trains_in_a_cohort_as_alone(room: Room) -> None:
    named = list(EVERY_KIND.values())
    expected = alone(room, *named, epochs=2)
    found = [outcome(trial) for trial in room.begin(trials(*named, epochs=2))]
    assert dict(zip(EVERY_KIND, found, strict=True)) == dict(zip(EVERY_KIND, expected, strict=True))


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    "recipe",
    [{"views": "autoaugment", "cutout": 2, "diagnostics": True}, {"precision": "bf16", "teacher_logits": "fp32"}],
    ids=["diagnosed", "bf16"],
)
def test_so_they_do_by_every_recipe(room: Room, recipe: dict[str, Any]) -> None:
    named = [EVERY_KIND[kind] for kind in ("teacher's maps", "dropout", "strong views", "no teacher")]
    found = [outcome(trial) for trial in room.begin(trials(*named, epochs=1, **recipe))]
    assert found == alone(room, *named, epochs=1, **recipe)


@pytest.mark.slow(2)
def test_the_order_of_the_trials_changes_nothing(room: Room) -> None:
    named = [EVERY_KIND[kind] for kind in ("teacher's maps", "dropout", "strong views", "other dropout", "no teacher")]
    assert [outcome(trial) for trial in room.begin(trials(*named))] == alone(room, *named)


def test_in_turns_epoch_by_epoch_the_results_are_the_same(room: Room) -> None:
    named = [EVERY_KIND[kind] for kind in ("dropout", "other dropout", "no teacher")]
    begun, results = room.begin(trials(*named)), [[], [], []]  # type: ignore[var-annotated]
    for _ in range(3):
        for trial, its in zip(begun, results, strict=True):
            its.append(next(trial))
            torch.rand(3)  # and somebody else draws in between
    assert results == [expected for expected, _ in alone(room, *named)]


@pytest.mark.slow(1)
def test_students_of_a_cohort_may_be_of_several_architectures(room: Room) -> None:
    configs = [small_trial("kd"), small_trial("kd").model_copy(update={"model": "resnet14"})]
    expected = [finish(fit(config, data=room.data, teacher=room.teacher))[0] for config in configs]
    assert [outcome(trial)[0] for trial in room.begin(configs)] == expected


# -- what is done once ------------------------------------------------------------------------------------------------


def test_data_views_and_the_teacher_s_passes_are_made_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    named = [EVERY_KIND[kind] for kind in ("logits", "dropout", "strong views", "teacher's maps", "no teacher")]
    calls: list[str] = []

    def counting(owner: type, name: str) -> None:
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda self, *args: (calls.append(name), real(self, *args))[1])

    counting(Views, "strong")
    counting(Views, "training")
    cut = TrainingData.cut
    monkeypatch.setattr(TrainingData, "cut", lambda *args: (calls.append("cut"), cut(*args))[1])
    results = [outcome(trial)[0] for trial in room.begin(trials(*named, epochs=1))]
    images = len(cut(room.data, small_trial().recipe).train)
    told = [[result.teacher_images for result in its] for its in results]
    assert told == [[2 * images], [0], [0], [images], [0]]  # the bank is off: the weak and the strong views' passes
    assert calls.count("cut") == 1
    # the student's view of the one chunk, and the teacher's of each: weak for a pass, and strong
    passes = -(-images // 128)
    assert calls.count("training") == 1 + passes
    assert calls.count("strong") == 1 + passes


@pytest.mark.slow(1)
def test_a_loader_of_the_teacher_is_called_once(room: Room) -> None:
    loaded: list[int] = []

    def load() -> Network:
        loaded.append(1)
        return room.teacher

    configs = trials(*EVERY_KIND.values(), epochs=1)
    for trial in fit_cohort(configs, data=room.data, teacher=load):
        finish(trial)
    assert loaded == [1]


@pytest.mark.slow(1)
def test_a_bank_serves_all_of_them(room: Room, tmp_path: Path) -> None:
    named = [EVERY_KIND[kind] for kind in ("logits", "dropout", "strong views")]
    expected = alone(room, *named)
    for _ in ("cold", "warm"):
        found = [outcome(trial) for trial in room.begin(trials(*named), bank=LogitBank(tmp_path))]
        assert found == expected
    assert [result.teacher_images for result in found[0][0]] == [0, 0, 0]


def test_the_trials_seconds_together_are_the_cohort_s(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that goes on by one at each look: no moment is counted twice."""
    ticks = iter(range(10**9))
    monkeypatch.setattr("trainers.loop.clock.time.perf_counter", lambda: float(next(ticks)))
    begun = room.begin(trials(*[EVERY_KIND[kind] for kind in ("logits", "dropout", "no teacher")]))
    before = next(ticks)
    results = [next(trial) for trial in begun]
    assert 0 < sum(result.seconds for result in results) <= next(ticks) - before
    assert all(result.images_per_second > 0 for result in results)


# -- one of them ends -------------------------------------------------------------------------------------------------

OTHERS = [EVERY_KIND[kind] for kind in ("dropout", "teacher's maps", "strong views")]


@pytest.mark.slow(1)
def test_one_that_diverges_says_so_as_alone_and_leaves_the_others_as_they_are(room: Room) -> None:
    (config,) = trials(DIVERGES)
    with pytest.raises(DivergedError) as expected:
        finish(fit(config, data=room.data, teacher=room.teacher))
    first, bad, *others = room.begin(trials(OTHERS[0], DIVERGES, *OTHERS[1:]))
    with pytest.raises(DivergedError) as found:
        finish(bad)
    assert str(found.value) == str(expected.value)
    assert next(bad, "over") == "over"
    assert [outcome(trial) for trial in (first, *others)] == alone(room, *OTHERS)


@pytest.mark.slow(1)
@pytest.mark.parametrize("how", ["closed", "let go of"])
def test_one_that_is_stopped_after_an_epoch_leaves_the_others_as_they_are(room: Room, how: str, tmp_path: Path) -> None:
    configs = trials(OTHERS[0], EVERY_KIND["logits"], *OTHERS[1:])
    begun = room.begin(configs, tmp_path)
    first = [next(trial) for trial in begun]
    if how == "closed":
        begun[1].close()
    del begun[1], first[1]
    gc.collect()
    found = [outcome(trial) for trial in begun]
    assert [([one, *rest], weights) for one, (rest, weights) in zip(first, found, strict=True)] == alone(room, *OTHERS)
    assert (tmp_path / configs[0].key / WEIGHTS).exists()
    written = [path.name[:10] for path in (tmp_path / configs[1].key / "checkpoints").iterdir()]
    assert written == ["epoch-0001"]


@pytest.mark.slow(1)
def test_one_that_cannot_be_set_up_fails_alone(room: Room) -> None:
    wrong = ("kd", {"ce_weight": 0, "alpha": 0})
    first, bad, *others = room.begin(trials(OTHERS[0], wrong, *OTHERS[1:]))
    with pytest.raises(InputError, match="weight"):
        next(bad)
    assert [outcome(trial) for trial in (first, *others)] == alone(room, *OTHERS)


class BreaksError(Exception):
    pass


def broken(*args: Any, **more: Any) -> Any:
    raise BreaksError("halfway")


@pytest.mark.slow(1)
@pytest.mark.parametrize("where", ["losses", "state_dict"])
def test_one_that_raises_in_a_step_or_at_an_epoch_s_end_fails_alone(
    room: Room, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = alone(room, *OTHERS)
    monkeypatch.setattr(KD, where, broken)
    first, bad, *others = room.begin(trials(OTHERS[0], EVERY_KIND["logits"], *OTHERS[1:]), tmp_path)
    with pytest.raises(BreaksError, match="halfway"):
        finish(bad)
    assert [outcome(trial) for trial in (first, *others)] == expected


def test_a_teacher_that_cannot_be_had_fails_those_that_listen_to_it(room: Room) -> None:
    silent, *listening = fit_cohort(
        trials(*[EVERY_KIND[kind] for kind in ("no teacher", "logits", "teacher's maps")]),
        data=room.data,
        teacher=broken,
    )
    for trial in listening:
        with pytest.raises(BreaksError):
            next(trial)
    assert [outcome(silent)] == alone(room, EVERY_KIND["no teacher"])


def test_who_leaves_in_the_middle_of_an_epoch_has_ended_all(
    room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = [EVERY_KIND["dropout"], EVERY_KIND["logits"]]
    expected, losses = alone(room, *named), KD.losses
    begun = room.begin(trials(*named), tmp_path)
    next(begun[0])

    def leaves(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(KD, "losses", leaves)
    with pytest.raises(KeyboardInterrupt):
        next(begun[0])
    next(begun[1])  # its first epoch has been trained before
    with pytest.raises(KeyboardInterrupt):
        next(begun[1])
    monkeypatch.setattr(KD, "losses", losses)
    assert [outcome(trial) for trial in room.begin(trials(*named), tmp_path)] == expected


# -- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_trials_go_on_from_their_checkpoints_and_those_behind_catch_up(room: Room, tmp_path: Path) -> None:
    named = [EVERY_KIND[kind] for kind in ("dropout", "strong views", "teacher's maps", "a memory of all images")]
    configs = trials(*named)
    for done, config in enumerate(configs[:3], start=1):
        alone_for_now = fit(config, data=room.data, teacher=room.teacher, folder=tmp_path / config.key)
        for _ in range(done):
            next(alone_for_now)
        alone_for_now.close()
    begun = room.begin(configs, tmp_path)
    found = [outcome(trial) for trial in begun]
    assert found == alone(room, *named)
    replayed = [[result.replayed for result in its] for its, _ in found]
    assert replayed == [[epoch <= done for epoch in (1, 2, 3)] for done in (1, 2, 3, 0)]
    assert all((tmp_path / config.key / WEIGHTS).exists() for config in configs)


def test_a_trial_of_a_cohort_goes_on_alone_as_if_it_always_had_been(room: Room, tmp_path: Path) -> None:
    named = [EVERY_KIND["dropout"], EVERY_KIND["other dropout"]]
    configs = trials(*named)
    begun = room.begin(configs, tmp_path)
    next(begun[0])
    del begun
    found = [
        finish(fit(config, data=room.data, teacher=room.teacher, folder=tmp_path / config.key)) for config in configs
    ]
    assert [(results, tensors_key(net.state_dict())) for results, net in found] == alone(room, *named)
    assert [its[0].replayed for its, _ in found] == [True, True]


def test_a_finished_cohort_is_replayed_without_training(room: Room, tmp_path: Path) -> None:
    named = [EVERY_KIND["dropout"], EVERY_KIND["no teacher"]]
    for _ in ("trained", "replayed"):
        found = [outcome(trial) for trial in room.begin(trials(*named), tmp_path)]
        assert found == alone(room, *named)
    assert all(result.replayed for results, _ in found for result in results)


def test_after_its_end_a_trial_has_no_more_to_say(room: Room) -> None:
    (trial,) = room.begin(trials(EVERY_KIND["no teacher"], epochs=1))
    finish(trial)
    assert list(trial) == []


# -- who goes together ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (small_trial("kd", {"alpha": 2}, seed=1), "one seed"),
        (small_trial("kd", {"alpha": 2}, epochs=4), "one recipe"),
        (small_trial("kd"), "two of these are the same"),
        (
            small_trial("kd").model_copy(update={"teacher": TeacherConfig(architecture="resnet14", hash="ff")}),
            "one teacher",
        ),
        (small_trial("kd", {"alpha": 2}).model_copy(update={"dataset": DatasetConfig(name="other")}), "one dataset"),
    ],
)
def test_strangers_are_refused(room: Room, others: TrialConfig, said: str) -> None:
    with pytest.raises(InputError, match=said):
        room.begin([small_trial("kd"), others])


def test_students_that_are_compiled_are_refused(room: Room) -> None:
    with pytest.raises(InputError, match="not compiled"):
        room.begin(trials(EVERY_KIND["logits"], EVERY_KIND["dropout"], compile=True))


@pytest.mark.slow(1)
def test_what_a_user_s_loss_does_to_its_batch_and_to_torch_stays_its_own(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, losses = [EVERY_KIND["dropout"], EVERY_KIND["teacher's maps"], EVERY_KIND["strong views"]], KD.losses
    expected = alone(room, *named)

    def rude(self: KD, batch: Batch) -> Losses:
        batch.images.mul_(0.5)
        batch.need_teacher().logits.mul_(0.5)
        try:
            return losses(self, batch)
        finally:
            torch.set_default_dtype(torch.float64)

    monkeypatch.setattr(KD, "losses", rude)
    theirs = small_trial("kd").model_copy(update={"code": {"method kd": "0123"}})
    with settings_kept():
        expected_of_theirs = finish(fit(theirs, data=room.data, teacher=room.teacher))[0]
    first, its, *others = room.begin([trials(named[0])[0], theirs, *trials(*named[1:])])
    assert [outcome(trial) for trial in (first, *others)] == expected
    assert torch.get_default_dtype() == torch.float32
    assert outcome(its)[0][0] == expected_of_theirs[0]  # alone, its second epoch has the first one's dtype


# -- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow(2)
def test_on_a_pretended_gpu_the_numbers_are_the_cpu_s() -> None:
    named = [EVERY_KIND[kind] for kind in ("dropout", "aligned gradients", "strong views", "teacher's maps")]
    configs, taught = [on_gpu.trial(*one) for one in named], seeded_model("resnet8", on_gpu.CLASSES, seed=9)
    expected = [finish(fit(config, data=on_gpu.images(), teacher=taught))[0] for config in configs]
    with pretended(0):
        begun = fit_cohort(configs, data=on_gpu.images(), teacher=taught, device="cuda")
        assert [finish(trial)[0] for trial in begun] == expected


# -- who can be in one ------------------------------------------------------------------------------------------------


def test_trials_that_may_go_together_are_known_by_what_they_share() -> None:
    kinds = {fellows(config) for config in trials(*EVERY_KIND.values())}
    assert len(kinds) == 1
    assert fellows(small_trial("kd", seed=1)) not in kinds
    assert fellows(small_trial("kd", lr=0.01)) not in kinds
    assert fellows(small_trial("kd", compile=True)) is None
    few = [fellows(small_trial(method, labelled_fraction=0.5)) for method in ("kd", "dhkd", "scratch")]
    assert few[0] == few[1] != few[2]
