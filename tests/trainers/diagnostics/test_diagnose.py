"""All diagnostics together: which names, on which images, and without a trace in training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainers.examples import finish, small_trial
from trainers.config import MethodConfig, Recipe
from trainers.data import ImageData, TrainingData
from trainers.diagnostics import MEASURES, Sample, diagnose, fidelity, neural_collapse
from trainers.diagnostics.diagnose import some_of_each
from trainers.distillers import METHODS, Batch, Distiller, Setting, View, build_distiller
from trainers.distillers.dhkd import DHKD
from trainers.fit import fit, seeded_model
from trainers.models import Network
from trainers.views.views import Views

PAGE = Path(__file__).parents[3] / "docs" / "diagnostics.md"
COLLAPSE = {name for name in MEASURES if name.startswith("nc")}
AUXILIARY = {f"aux_{name}" for name in COLLAPSE}
FIDELITY = {"fidelity_agreement", "fidelity_kl", "fidelity_correlation"}
PLAIN = torch.autocast("cpu", torch.bfloat16, enabled=False)


@pytest.fixture(scope="session")
def views(digits: ImageData, recipe: Recipe) -> Views:
    return Views(recipe, digits, torch.device("cpu"))


@pytest.fixture(scope="session")
def sample(recipe: Recipe, cut: TrainingData, views: Views, teacher: Network) -> Sample:
    return Sample.draw(recipe, cut.train, cut.test, views, PLAIN, teacher)


@pytest.fixture
def build(cut: TrainingData, teacher: Network) -> Any:
    """A method around a fresh resnet8, or around `student`."""

    def built(name: str, student: Network | None = None, **params: Any) -> Distiller:
        torch.manual_seed(0)
        setting = Setting(10, (8, 8), teacher, cut.train.index, cut.train.labels)
        student = seeded_model("resnet8", 10, seed=0) if student is None else student
        return build_distiller(MethodConfig(name=name, params=params), student, setting)

    return built


# -- names


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_diagnosed(name: str, build: Any, sample: Sample) -> None:
    found = diagnose(build(name).train(), sample, 1)
    assert set(found) <= set(MEASURES)
    assert set(found) >= COLLAPSE | FIDELITY
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("name", "params", "beside"),
    [
        ("kd", {}, set()),
        ("dhkd", {"head": "shared"}, {"conflict_backbone", "conflict_head"}),
        ("dhkd", {"head": "linear"}, {"conflict_backbone", *AUXILIARY}),
        ("dhkd", {"head": "nonlinear", "align": True}, {"conflict_backbone", *AUXILIARY}),
        ("dhkd", {"head": "linear", "aux_loss": "kl"}, AUXILIARY),
        ("dho", {}, AUXILIARY),
    ],
)
def test_what_is_not_defined_has_no_name(
    name: str, params: dict[str, Any], beside: set[str], build: Any, sample: Sample
) -> None:
    assert set(diagnose(build(name, **params), sample, 1)) == COLLAPSE | FIDELITY | beside


def test_without_a_teacher_there_is_neural_collapse_alone(
    build: Any, recipe: Recipe, cut: TrainingData, views: Views
) -> None:
    alone = Sample.draw(recipe, cut.train, cut.test, views, PLAIN, None)
    assert set(diagnose(build("scratch"), alone, 1)) == COLLAPSE


def test_the_page_explains_every_name() -> None:
    page = PAGE.read_text()
    assert [name for name in MEASURES if not name.startswith("aux_") and f"| `{name}` |" not in page] == []
    assert "`aux_nc1`" in page


# -- numbers


def test_a_student_that_is_its_teacher_is_faithful(
    recipe: Recipe, cut: TrainingData, views: Views, teacher: Network, build: Any
) -> None:
    own = Sample.draw(recipe, cut.train, cut.test, views, PLAIN, teacher)
    found = diagnose(build("kd", student=teacher), own, 1)
    assert {name: found[name] for name in FIDELITY} == {
        "fidelity_agreement": 100,
        "fidelity_kl": 0,
        "fidelity_correlation": 0,
    }


def test_what_is_evaluated_is_compared_with_the_teacher(build: Any, sample: Sample) -> None:
    """SimKD's predictor, not the student inside it."""
    distiller = build("simkd").eval()
    predictor = distiller.predictor.eval()
    (test,) = sample.test.batches([torch.arange(len(sample.test))])
    images = sample.views.plain(test.images)
    assert sample.teacher_test is not None
    with torch.no_grad():
        expected = fidelity(predictor(images), sample.teacher_test)
    found = diagnose(distiller, sample, 1)
    assert {name: found[name] for name in FIDELITY} == pytest.approx(expected, rel=1e-5)


def test_each_batch_carries_the_teacher_s_logits_of_its_own_images(sample: Sample, teacher: Network) -> None:
    batches = list(sample.batches(epoch=3))
    assert [len(batch.targets) for batch in batches] == [32, 8]
    for batch in batches:
        assert batch.epoch == 3
        with torch.no_grad():
            torch.testing.assert_close(batch.need_teacher().logits, teacher(batch.images))


def test_a_linear_auxiliary_head_reads_the_same_features(build: Any, sample: Sample) -> None:
    found = diagnose(build("dhkd", head="linear"), sample, 1)
    assert found["aux_nc1"] == found["nc1"]
    assert found["aux_nc3"] != found["nc3"]
    copied = diagnose(build("dhkd", head="linear", init="copy"), sample, 1)
    assert {name: copied[f"aux_{name}"] for name in COLLAPSE} == {name: copied[name] for name in COLLAPSE}


def test_a_nonlinear_head_is_measured_on_its_last_layer_and_what_that_reads(
    build: Any, sample: Sample, cut: TrainingData, views: Views
) -> None:
    distiller: DHKD = build("dhkd", head="nonlinear")
    found = diagnose(distiller, sample, 1)
    head = distiller.eval().aux_head
    assert head is not None
    last = [module for module in head.modules() if isinstance(module, nn.Linear)][-1]
    read: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    (train,) = cut.train.batches([torch.arange(len(cut.train))])  # fewer than the sample may take, so all of them
    with torch.no_grad():
        head(distiller.student.features(views.plain(train.images)).pooled)
    handle.remove()
    assert read[0].shape == (40, 200)
    expected = neural_collapse(read[0], train.labels, last.weight, last.bias)
    assert {name: found[f"aux_{name}"] for name in COLLAPSE} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_training_leads_towards_collapse(digits: ImageData, sample: Sample, build: Any) -> None:
    """Fifteen epochs, with the sample among the training images."""
    before = diagnose(build("kd"), sample, 1)
    trial = small_trial(epochs=15, views="none", val_fraction=0.0, test_per_class=1)
    _, student = finish(fit(trial, data=digits))
    after = diagnose(build("kd", student=student), sample, 15)
    print({n: (before[n], after[n]) for n in before})
    for name in ("nc1", "nc2_equinorm", "nc2_equiangular", "nc2_angle", "nc3", "nc4"):
        assert after[name] < before[name], name


def test_numbers_repeat(build: Any, sample: Sample) -> None:
    distiller = build("dhkd", head="nonlinear")
    assert diagnose(distiller, sample, 1) == diagnose(distiller, sample, 1)


def test_in_bf16_the_measures_stay_close(
    build: Any, recipe: Recipe, cut: TrainingData, views: Views, teacher: Network
) -> None:
    distiller = build("dhkd", head="shared")
    single = diagnose(distiller, Sample.draw(recipe, cut.train, cut.test, views, PLAIN, teacher), 1)
    distiller.set_up(torch.bfloat16, None)
    autocast = torch.autocast("cpu", torch.bfloat16)
    half = diagnose(distiller, Sample.draw(recipe, cut.train, cut.test, views, autocast, teacher), 1)
    assert half.keys() == single.keys()
    assert half["nc1"] == pytest.approx(single["nc1"], rel=0.1)
    assert half["conflict_backbone"] == pytest.approx(single["conflict_backbone"], abs=0.1)
    assert half != single


# -- the sample


def test_the_sample_is_some_of_each_class_of_the_training_subset(cut: TrainingData) -> None:
    chosen = some_of_each(cut.train, 0, 3)
    assert chosen.labels.bincount().tolist() == [3] * 10
    assert set(chosen.index.tolist()) < set(cut.train.index.tolist())
    assert len(some_of_each(cut.train, 0, 100)) == len(cut.train)


def test_the_sample_is_drawn_by_address(cut: TrainingData) -> None:
    drawn = [some_of_each(images, seed, 3).index for images, seed in ((cut.train, 0), (cut.train, 0), (cut.train, 1))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    shuffled = cut.train.take(torch.randperm(len(cut.train), generator=torch.Generator().manual_seed(0)))
    assert set(some_of_each(shuffled, 0, 3).index.tolist()) == set(drawn[0].tolist())


def test_the_recipe_s_split_seed_draws_the_sample(recipe: Recipe, cut: TrainingData, views: Views) -> None:
    found = []
    for seed in (0, 1):
        told = recipe.model_copy(update={"split_seed": seed})
        drawn = Sample.draw(told, cut.train, cut.test, views, PLAIN, None, per_class=2)
        assert torch.equal(drawn.train.index, some_of_each(cut.train, seed, 2).index)
        found.append(drawn.train.index)
    assert not torch.equal(*found)


# -- without a trace


def train(distiller: Distiller, cut: TrainingData, views: Views, teacher: Network, sample: Sample | None) -> Any:
    """Four steps, diagnosed after each where there is a sample: all that the next step depends on."""
    torch.manual_seed(7)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step, part in enumerate(cut.train.batches(torch.arange(40).chunk(4)), start=1):
        distiller.train()
        images = views.plain(part.images)
        with torch.no_grad():
            taught = teacher.features(images)
        found = distiller.losses(Batch(images, part.labels, part.index, step, taught, View(images, taught)))
        weights = distiller.weights(step)
        total = torch.stack([weights[name] * term for name, term in found.terms.items()]).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        if sample is not None:
            diagnose(distiller, sample, step)
        optimizer.step()
        losses.append(total.item())
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in distiller.parameters()]
    modes = [module.training for module in distiller.modules()]
    return losses, distiller.state_dict(), optimizer.state_dict(), gradients, modes, torch.get_rng_state()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("scratch", {}),
        ("dhkd", {"head": "shared"}),
        ("dhkd", {"head": "nonlinear", "dropout": 0.5}),  # draws as it trains, and has a BatchNorm of its own
        ("crd", {}),  # remembers features
        ("simkd", {}),  # is evaluated as another network
        ("sld", {}),  # has two views
    ],
)
def test_training_is_bit_for_bit_the_same_with_diagnostics(
    name: str,
    params: dict[str, Any],
    build: Any,
    cut: TrainingData,
    views: Views,
    teacher: Network,
    sample: Sample,
) -> None:
    """Diagnosed between the backward pass and the step, where every trace would count."""
    without = train(build(name, **params), cut, views, teacher, None)
    watched = train(build(name, **params), cut, views, teacher, sample)
    torch.testing.assert_close(watched, without, rtol=0, atol=0)


def test_each_module_keeps_its_mode_also_after_an_error(build: Any, sample: Sample) -> None:
    distiller: DHKD = build("dhkd", head="nonlinear").train()
    distiller.student.eval()
    modes = [module.training for module in distiller.modules()]
    diagnose(distiller, sample, 1)
    assert [module.training for module in distiller.modules()] == modes
    distiller.student.classifier.weight.data = distiller.student.classifier.weight.data[:, :5]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        diagnose(distiller, sample, 1)
    assert [module.training for module in distiller.modules()] == modes


@pytest.mark.parametrize("reading", [{"label_smoothing": 0.5}, {"label_loss": "bce"}], ids=["smoothed", "binary"])
def test_labels_are_read_as_in_training(
    reading: dict[str, Any], recipe: Recipe, cut: TrainingData, views: Views, teacher: Network, build: Any
) -> None:
    drawn = Sample.draw(recipe.model_copy(update=reading), cut.train, cut.test, views, PLAIN, teacher)
    plain = Sample.draw(recipe, cut.train, cut.test, views, PLAIN, teacher)
    distiller = build("dhkd", head="shared")
    found, usual = (diagnose(distiller, one, 1)["conflict_backbone"] for one in (drawn, plain))
    assert abs(found - usual) > 1e-3
