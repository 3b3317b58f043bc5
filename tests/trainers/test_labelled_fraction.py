"""Recipes under which only a share of the training images keeps its label: which ones, and what each method makes of
the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.examples import finish, goes_on_as_if_never_stopped, small_recipe, small_trial
from trainers.check import check, refuse_unlabelled
from trainers.cohort import fit_cohort
from trainers.config import Recipe
from trainers.contract.case import Case, losses
from trainers.data import ImageData
from trainers.data.base import Images, Split, TrainingData
from trainers.data.labelled import UNLABELLED, spread
from trainers.data.pixels.mapped import MappedSplit
from trainers.data.pixels.streaming import Cropping, StreamedSplit
from trainers.diagnostics import diagnose
from trainers.distillers import METHODS, Batch
from trainers.distillers.labels import LabelReading, label_loss
from trainers.errors import InputError
from trainers.fit import fit
from trainers.material import Material
from trainers.models import Network
from trainers.rehearsal import rehearse
from trainers.storage.content import tensors_key
from trainers.teaching.chunks import Preparation, Pupil
from trainers.teaching.lesson import NoTeacher
from trainers.teaching.logit_bank import LogitBank
from trainers.training import Training

QUARTER = {"labelled_fraction": 0.25}
"""Of the eight images of each class that small trials train on: two."""
REFUSED = {"abkd_dkd", "crd", "dkd", "la", "lr_revision", "nkd", "normkd_dkd", "rc", "rld", "sdd", "sld", "wkd"}
"""Their own terms read labels. CRLD and MLKD, which refuse mixed images, compare views and read none."""
TRIALS = {
    "scratch": small_trial("scratch", **QUARTER),
    "kd": small_trial("kd", **QUARTER),
    "two heads": small_trial("dho", **QUARTER),
    "dropout and aligned gradients": small_trial("dhkd", {"head": "nonlinear", "align": True}, **QUARTER),
    "strong views": small_trial("mlkd", label_smoothing=0.1, **QUARTER),
    "maps, binary": small_trial("fitnet", label_loss="bce", **QUARTER),
}


# -- which images


def kept(data: ImageData, **recipe: Any) -> set[int]:
    """The indices of the images that keep their labels."""
    cut = TrainingData.cut(data, small_recipe(**recipe))
    return set(cut.train.index[cut.labelled].tolist())


def test_of_each_class_the_share_keeps_its_label(digits: ImageData) -> None:
    whole = {"samples_per_class": None}
    cut = TrainingData.cut(digits, small_recipe(labelled_fraction=0.1, **whole))
    there, with_label = (
        torch.bincount(labels, minlength=10) for labels in (cut.train.labels, cut.train.labels[cut.labelled])
    )
    assert with_label.tolist() == [round(0.1 * count) for count in there.tolist()]
    assert bool(TrainingData.cut(digits, small_recipe(**whole)).labelled.all())


def test_a_smaller_share_is_part_of_a_larger_one_and_another_split_seed_draws_another(digits: ImageData) -> None:
    some = [kept(digits, labelled_fraction=fraction) for fraction in (0.125, 0.25, 0.5, 1)]
    assert [len(one) for one in some] == [10, 20, 40, 80]
    assert some[0] < some[1] < some[2] < some[3]
    other = {"val_fraction": 0, "samples_per_class": None, "labelled_fraction": 0.5}
    assert len(kept(digits, split_seed=1, **other) & kept(digits, split_seed=0, **other)) < 0.7 * len(digits.train) / 2


def test_where_a_class_would_have_no_label_it_is_named(digits: ImageData) -> None:
    with pytest.raises(
        InputError, match=r"class '0': labelled_fraction 0\.05 leaves none of its 8 training images a label"
    ):
        TrainingData.cut(digits, small_recipe(labelled_fraction=0.05))


def test_images_with_a_label_are_spread_evenly_in_their_own_order() -> None:
    order, labelled = torch.randperm(90, generator=torch.Generator().manual_seed(0)), torch.arange(90) % 9 < 2
    found = spread(order, labelled[torch.arange(90)])
    mine = {int(position) for position in order[labelled]}
    assert sorted(found.tolist()) == list(range(90))
    assert [place for place in found.tolist() if place in mine] == order[labelled].tolist()
    assert [place for place in found.tolist() if place not in mine] == order[~labelled].tolist()
    counts = [sum(place in mine for place in part.tolist()) for part in found.split(9)]
    assert counts == [2] * 10
    assert torch.equal(spread(order, torch.ones(90, dtype=torch.bool)), order)


@pytest.mark.parametrize("kind", ["in memory", "mapped", "streamed"])
def test_images_wherever_they_lie_take_other_labels(kind: str, tmp_path: Path) -> None:
    pixels, places = torch.zeros(5, 3, 4, 4, dtype=torch.uint8), torch.arange(5)
    images: Images = {
        "in memory": Split(pixels, places, 10 * places),
        "mapped": MappedSplit(pixels, places, places, 10 * places),
        "streamed": StreamedSplit(tmp_path, ("a.png",) * 5, places, places, 10 * places, Cropping(4, 4), 0),
    }[kind]
    hidden = images.relabelled(torch.tensor([0, UNLABELLED, 2, UNLABELLED, 4]))
    assert type(hidden) is type(images)
    assert hidden.take(torch.tensor([1, 2])).labels.tolist() == [UNLABELLED, 2]
    assert torch.equal(hidden.index, images.index)
    assert images.labels.tolist() == [0, 1, 2, 3, 4]
    if images.at_hand:
        (batch,) = hidden.batches([torch.tensor([3, 4])])
        assert batch.labels.tolist() == [UNLABELLED, 4]


# -- what training sees


def batches(data: ImageData, method: str, epoch: int = 1, **recipe: Any) -> tuple[Training, Iterator[Batch]]:
    config = small_trial(method, **recipe)
    material = Material.of(config.recipe, data, "cpu", unlabelled=method != "scratch")
    training = Training(config, material)
    training.begin(epoch)
    preparation = Preparation(config.recipe, 0, material.train, material.views, (Pupil(NoTeacher(), False),))
    return training, (batch for (batch,) in preparation.batches(training.parts, epoch))


def test_no_other_label_reaches_a_step(few: ImageData) -> None:
    labels = dict(zip(few.train.index.tolist(), few.train.labels.tolist(), strict=True))
    with_label = kept(few, **QUARTER)
    for epoch in (1, 2):
        training, seen = batches(few, "kd", epoch, **QUARTER)
        all_seen = []
        for batch in seen:
            for place, target in zip(batch.index.tolist(), batch.targets.tolist(), strict=True):
                assert target == (labels[place] if place in with_label else UNLABELLED)
                all_seen.append(place)
            assert abs(int((batch.targets != UNLABELLED).sum()) - len(batch) / 4) <= 1
            assert batch.reading == LabelReading(labelled=0.25)
        assert len(all_seen) == len(set(all_seen)) == 80
        assert set(training.material.trained.labels.tolist()) == {*range(10), UNLABELLED}


def test_a_method_without_a_teacher_trains_as_on_a_data_set_of_the_labelled_images(few: ImageData) -> None:
    cut = TrainingData.cut(few, small_recipe(**QUARTER))
    alone = replace(few, train=cut.train.take(torch.nonzero(cut.labelled).flatten()))
    whole = {"val_fraction": 0, "samples_per_class": None}
    results, student = finish(fit(small_trial("scratch", **QUARTER), data=few))
    others, other = finish(fit(small_trial("scratch", **whole), data=alone))
    assert tensors_key(student.state_dict()) == tensors_key(other.state_dict())
    assert [(one.loss, one.train_acc, one.test_acc) for one in results] == [
        (one.loss, one.train_acc, one.test_acc) for one in others
    ]


def test_an_epoch_s_loss_with_the_labels_is_the_mean_over_all_images_with_one(few: ImageData) -> None:
    """And its training accuracy is theirs: without learning, of the very student."""
    still = {"lr": 1e-30, "weight_decay": 0.0, "views": "none", **QUARTER}
    training, seen = batches(few, "kd", **still)
    student = training.distiller.student.train()
    logits, targets = zip(*((student(batch.images).detach(), batch.targets) for batch in seen), strict=True)
    every, labels = torch.cat(logits), torch.cat(targets)
    there = labels != UNLABELLED
    result = next(fit(small_trial("kd", **still), data=few, teacher=student))
    expected = torch.nn.functional.cross_entropy(every[there], labels[there])
    assert result.terms["ce"] == pytest.approx(float(expected), rel=1e-5)
    assert result.train_acc == pytest.approx(100 * float((every[there].argmax(1) == labels[there]).float().mean()))


@pytest.mark.parametrize("reading", [LabelReading(), LabelReading(0.2), LabelReading(binary=True)], ids=str)
def test_the_loss_of_a_batch_is_of_those_with_a_label_by_how_many_are_expected(reading: LabelReading) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 7, generator=generator).requires_grad_()
    labels = torch.randint(0, 7, (12,), generator=generator)
    there = torch.tensor([True, False, False] * 4)
    hidden = labels.masked_fill(~there, UNLABELLED)
    found = label_loss(logits, hidden, reading._replace(labelled=0.25), None)
    torch.testing.assert_close(found, label_loss(logits[there], labels[there], reading, None) * 4 / (0.25 * 12))
    (gradient,) = torch.autograd.grad(found, logits)
    assert not gradient[~there].any()
    nothing = label_loss(logits, torch.full_like(labels, UNLABELLED), reading._replace(labelled=0.25), None)
    assert nothing.item() == 0


# -- who takes it


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_that_reads_no_label_takes_any_number_of_them(name: str) -> None:
    """Its own terms are what they are with all labels, DHO's aside, which weighs images by whether they have one."""
    case = Case(name)
    method, batch = case.method(), case.batch
    if method.reads_labels:
        return
    method.at(1)
    whole = losses(method, batch).terms
    targets = batch.targets.clone()
    targets[::2] = UNLABELLED
    again = case.method()
    again.at(1)
    some = losses(again, replace(batch, targets=targets, reading=LabelReading(labelled=0.25))).terms
    changed = {term for term, value in whole.items() if not torch.equal(value, some[term])}
    assert changed == {"ce", "ce_strong", "dho"} & whole.keys()


@pytest.mark.slow(1)
def test_who_refuses_images_without_labels(few: ImageData) -> None:
    refused = set()
    for name in METHODS:
        try:
            refuse_unlabelled(Case(name).method(), small_trial(name, **QUARTER))
        except InputError:
            refused.add(name)
        refuse_unlabelled(Case(name).method(), small_trial(name))
    assert refused == REFUSED


@pytest.mark.parametrize("name", ["dkd", "crd"])
def test_the_plan_refuses_by_name(name: str, few: ImageData) -> None:
    params = METHODS[name].Params().model_dump(mode="json")
    check(small_trial(name, params), few, "resnet14")
    said = (
        f"method '{name}' reads the label of every image, and recipe.labelled_fraction 0.25 leaves the others without"
    )
    with pytest.raises(InputError, match=said):
        check(small_trial(name, params, **QUARTER), few, "resnet14")


def test_images_without_labels_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="one that is mixed with such an image has none either"):
        Recipe(labelled_fraction=0.5, mixup=0.1)


# -- as any other recipe


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", TRIALS)
def test_stopped_after_every_epoch_it_goes_on_as_if_never_stopped(
    name: str, few: ImageData, teacher: Network, tmp_path: Path
) -> None:
    goes_on_as_if_never_stopped(TRIALS[name], few, teacher, tmp_path)


@pytest.mark.slow(1)
def test_in_a_cohort_each_has_the_numbers_that_it_has_alone(few: ImageData, teacher: Network) -> None:
    configs = [small_trial(name, **QUARTER) for name in ("kd", "dho", "fitnet")]
    alone = [finish(fit(config, data=few, teacher=teacher)) for config in configs]
    for (results, student), one in zip(alone, fit_cohort(configs, data=few, teacher=teacher), strict=True):
        theirs, same = finish(one)
        assert results == theirs
        assert tensors_key(student.state_dict()) == tensors_key(same.state_dict())
    with pytest.raises(InputError, match="no cohort has both"):
        fit_cohort([*configs, TRIALS["scratch"]], data=few, teacher=teacher)


def test_the_bank_serves_trials_with_all_labels_and_with_few(few: ImageData, teacher: Network, tmp_path: Path) -> None:
    bank = LogitBank(tmp_path)
    first, _ = finish(fit(small_trial("kd"), data=few, teacher=teacher, bank=bank))
    then, _ = finish(fit(TRIALS["kd"], data=few, teacher=teacher, bank=bank))
    assert all(result.teacher_images for result in first)
    assert not any(result.teacher_images for result in then)


def test_diagnostics_are_of_images_with_a_label(few: ImageData, teacher: Network) -> None:
    config = small_trial("dho", diagnostics=True, **QUARTER)
    results, _ = finish(fit(config, data=few, teacher=teacher))
    assert results[-1].diagnostics.keys() >= {"nc1", "aux_nc1", "fidelity_kl"}
    training, _ = batches(few, "dho", **QUARTER)
    sample = training._drawn()
    assert len(sample.train) == 20
    assert sample.train.labels.min() >= 0
    assert diagnose(training.distiller, sample, 1)


@pytest.mark.slow(1)
def test_it_is_rehearsed_whatever_the_share(few: ImageData, teacher: Network) -> None:
    tiny = small_trial("kd", labelled_fraction=0.02, samples_per_class=None)
    assert rehearse(tiny, data=few, teacher=teacher).epoch_seconds > 0
