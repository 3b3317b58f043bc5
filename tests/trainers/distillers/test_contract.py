"""What every method promises, whatever it does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.trainers.examples import finish
from trainers.check import check
from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.data import ImageData, Split
from trainers.distillers import METHODS, Batch, Distiller, LogitDistiller, Setting, View, build_distiller
from trainers.fit import fit, seeded_model
from trainers.models import Network
from trainers.storage.content import canonical_json

NEEDY = [name for name, method in METHODS.items() if method.teacher_needs != "nothing"]
TWO_VIEWS = [name for name, method in METHODS.items() if method.strong_view]
INDEX = torch.arange(0, 80, 2)
"""The training subset's places in its source; a batch is the first 16."""
LABELS = torch.arange(40) % 10
STUDENTS = ("resnet8", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2")
"""One small student of every family."""
ONLY_LOGITS = {name for name, method in METHODS.items() if issubclass(method, LogitDistiller)} - {"kd"}
"""These see nothing of a family but its logits: KD stands for them all."""


def setting(teacher: Network | None) -> Setting:
    return Setting(10, image_size=(8, 8), teacher=teacher, index=INDEX, labels=LABELS)


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest, teacher: Network) -> Distiller:
    """Each method with its default hyperparameters, around a resnet8."""
    torch.manual_seed(0)
    student = seeded_model("resnet8", 10, seed=0)
    return build_distiller(MethodConfig(name=request.param), student, setting(teacher)).train()


def seen(teacher: Network, images: Tensor) -> View:
    return View(images, teacher.eval().features(images))


def some_batch(teacher: Network, *, epoch: int = 1, learning_teacher: bool = False) -> Batch:
    """A batch with a strong view, which methods of one view leave alone."""
    weak, strong = torch.randn(2, 16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.set_grad_enabled(learning_teacher):
        view = seen(teacher, weak)
        return Batch(weak, LABELS[:16], INDEX[:16], epoch, view.teacher, seen(teacher, strong))


@torch.no_grad()
def reordered(batch: Batch, order: Tensor, teacher: Network) -> Batch:
    weak = seen(teacher, batch.images[order])
    strong = seen(teacher, batch.need_strong().images[order])
    return Batch(weak.images, batch.targets[order], batch.index[order], batch.epoch, weak.teacher, strong)


def test_losses_are_finite_scalars_with_the_cross_entropy_among_them(method: Distiller, teacher: Network) -> None:
    batch = some_batch(teacher)
    losses = method.losses(batch)
    assert losses.logits.shape == (16, 10)
    assert losses.logits.dtype == torch.float32
    for term in losses.terms.values():
        assert term.shape == ()
        assert term.isfinite()
    assert losses.terms["ce"] > 0


def test_each_view_that_the_method_reads_has_its_cross_entropy(method: Distiller, teacher: Network) -> None:
    method.eval()  # so that two views in one pass are as two passes
    batch = some_batch(teacher)
    views = {"ce": batch.images} | ({"ce_strong": batch.need_strong().images} if method.strong_view else {})
    terms = method.losses(batch).terms
    for name, images in views.items():
        torch.testing.assert_close(terms[name], F.cross_entropy(method.predictor(images), batch.targets))


def test_logits_are_the_predictor_s(method: Distiller, teacher: Network) -> None:
    """Of the weak view: the training accuracy is of the network that is evaluated, in the view that all methods see."""
    method.eval()
    batch = some_batch(teacher)
    torch.testing.assert_close(method.losses(batch).logits, method.predictor(batch.images).float())


def test_losses_are_in_float32_where_the_networks_run_in_bf16(method: Distiller, teacher: Network) -> None:
    method.autocast = torch.bfloat16
    batch = some_batch(teacher)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        weak, strong = (seen(teacher, view.images) for view in (batch, batch.need_strong()))
    losses = method.losses(replace(batch, teacher=weak.teacher, strong=strong))
    assert {losses.logits.dtype, *(term.dtype for term in losses.terms.values())} == {torch.float32}
    assert all(term.isfinite() for term in losses.terms.values())


def test_every_term_has_a_weight_in_every_epoch(method: Distiller, teacher: Network) -> None:
    terms = set(method.losses(some_batch(teacher)).terms)
    for epoch in (1, 2, 20, 151, 240):
        weights = method.weights(epoch)
        assert set(weights) == terms
        assert all(weight >= 0 for weight in weights.values())
        assert any(weights.values())


def test_every_learned_parameter_gets_a_gradient_and_the_teacher_none(method: Distiller, teacher: Network) -> None:
    """But for the student's own classifier where something else is evaluated in its place (SimKD)."""
    losses = method.losses(some_batch(teacher, learning_teacher=True))
    weights = method.weights(100)
    total = torch.stack([weights[name] * term for name, term in losses.terms.items()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    replaced = set() if method.predictor is method.student else set(method.student.classifier.parameters())
    learned = {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}
    for name in learned.keys() - {name for name, parameter in learned.items() if parameter in replaced}:
        gradient = learned[name].grad
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_teacher_is_no_part_of_the_method(method: Distiller, teacher: Network) -> None:
    """Neither trained nor written into every checkpoint."""
    mine = set(map(id, method.parameters())) | set(map(id, method.buffers()))
    assert not mine & set(map(id, [*teacher.parameters(), *teacher.buffers()]))
    assert not teacher.training


def test_the_student_is_neither_copied_nor_renamed(method: Distiller) -> None:
    bare = seeded_model("resnet8", 10, seed=0)
    assert list(method.student.state_dict()) == list(bare.state_dict())
    for key, value in bare.state_dict().items():
        assert torch.equal(method.state_dict()[f"student.{key}"], value)


def test_losses_repeat_in_evaluation_mode(method: Distiller, teacher: Network) -> None:
    method.eval()
    one, other = (method.losses(some_batch(teacher)).terms for _ in range(2))
    assert {name: term.item() for name, term in one.items()} == {name: term.item() for name, term in other.items()}


def test_the_order_of_the_batch_does_not_matter(method: Distiller, teacher: Network) -> None:
    method.eval()
    batch = some_batch(teacher)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        shuffled, losses = method.losses(reordered(batch, order, teacher)), method.losses(batch)
    for name, term in losses.terms.items():
        torch.testing.assert_close(shuffled.terms[name], term, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NEEDY)
def test_a_missing_teacher_is_a_wiring_error(name: str, teacher: Network) -> None:
    """Met when the method is built, or else by its first batch."""
    student = seeded_model("resnet8", 10, seed=0)
    whole = some_batch(teacher)
    batch = replace(whole, teacher=None, strong=View(whole.need_strong().images))
    with pytest.raises(TypeError, match="needs a teacher"):
        build_distiller(MethodConfig(name=name), student, setting(None)).losses(batch)


def test_a_missing_strong_view_is_a_wiring_error(teacher: Network) -> None:
    for name in TWO_VIEWS:
        method = build_distiller(MethodConfig(name=name), seeded_model("resnet8", 10, seed=0), setting(teacher))
        with pytest.raises(TypeError, match="needs a strong view"):
            method.losses(replace(some_batch(teacher), strong=None))


@pytest.mark.parametrize("name", METHODS)
def test_defaults_can_be_written_into_a_config(name: str) -> None:
    params = METHODS[name].Params()
    content = params.model_dump(mode="json")
    assert METHODS[name].Params.model_validate(content) == params
    assert canonical_json(content)
    assert METHODS[name].summary
    assert "\n" not in METHODS[name].summary


# Every method on a student of every family


@pytest.fixture(scope="module")
def noise() -> ImageData:
    """Six classes (GDKD sets five apart) of one random image of 16 × 16 pixels each, and one to test on."""
    pixels = torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    split = Split(pixels, torch.arange(7) % 6, torch.arange(7))
    train, test = split.take(torch.arange(6)), split.take(torch.tensor([6]))
    return ImageData("noise", train, test, tuple("abcdef"), (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))


@pytest.fixture(scope="module")
def small_teacher() -> Network:
    return seeded_model("resnet8", 6, seed=99).eval()


def one_step(name: str, student: str) -> TrialConfig:
    return TrialConfig(
        dataset=DatasetConfig(name="noise"),
        model=student,
        teacher=TeacherConfig(architecture="resnet8", hash="0123456789abcdef") if name in NEEDY else None,
        method=MethodConfig(name=name),
        recipe=Recipe(epochs=1, batch_size=6, schedule="constant", val_fraction=0, weight_decay=0, lr=1e-3),
    )


@pytest.fixture(scope="module")
def starts() -> dict[str, tuple[str, Tensor]]:
    """The first parameter of each student and its name, before training."""
    return {name: next(seeded_model(name, 6, seed=0).named_parameters()) for name in STUDENTS}


@pytest.mark.parametrize(
    ("name", "student"),
    [(name, student) for name in METHODS for student in (STUDENTS[:1] if name in ONLY_LOGITS else STUDENTS)],
)
def test_a_step_of_training_moves_every_family(
    name: str, student: str, noise: ImageData, small_teacher: Network, starts: dict[str, tuple[str, Tensor]]
) -> None:
    """By a gradient that reaches the first layer: there is no weight decay."""
    teacher = small_teacher if name in NEEDY else None
    results, trained = finish(fit(one_step(name, student), data=noise, teacher=teacher))
    assert len(results) == 1
    stem, start = starts[student]
    moved = dict(trained.named_parameters())
    weight = moved[stem] if stem in moved else moved[f"student.{stem}"]  # SimKD evaluates a network around the student
    assert not torch.equal(weight, start)
    assert weight.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_a_trial_is_checked_without_memory(name: str, noise: ImageData) -> None:
    """On the meta device, with a student that has one more stage than the teacher."""
    check(one_step(name, "vgg8"), noise, "resnet8" if name in NEEDY else None)
