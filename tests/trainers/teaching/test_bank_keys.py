"""A shelf of the logit bank has another name for all that decides the teacher's logits, and the bank's table tells each
image what the teacher says of its view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainers.examples import small_trial
from trainers.config import TrialConfig
from trainers.data import ImageData, Split
from trainers.models import Network
from trainers.teaching import lesson as lessons
from trainers.teaching.lesson import BankedTeacher, Lesson
from trainers.teaching.logit_bank import LogitBank, Shelf, Work
from trainers.views.views import Views

VIEWS: dict[str, dict[str, Any]] = {
    "none": {"views": "none"},
    "weak": {"views": "weak"},
    "autoaugment": {"views": "autoaugment"},
}
ENDLESS = "autoaugment"
"""Views without a number: each seed and epoch has its own."""


@dataclass
class Blank:
    """A shelf on which everything is 0."""

    classes: int

    def table(self, address: Tensor, compute: Callable[[Tensor], Tensor], work: Work, looked: None) -> Tensor:
        return torch.zeros(len(address), self.classes)


class Names(LogitBank):
    """Writes down what shelves it is asked for, and has nothing on them."""

    def __init__(self) -> None:
        super().__init__(Path("bank"))
        self.asked: list[str] = []

    def shelf(self, about: dict[str, Any], *, views: int, classes: int, dtype: torch.dtype) -> Any:
        made: Shelf = super().shelf(about, views=views, classes=classes, dtype=dtype)
        self.asked.append(made._folder.name)
        return Blank(classes)


@dataclass(frozen=True)
class Case:
    """A trial, its data and where it is trained."""

    config: TrialConfig
    data: ImageData
    teacher: Network
    device: str = "cpu"
    epoch: int = 1

    def with_recipe(self, **changes: Any) -> Case:
        recipe = self.config.recipe.model_copy(update=changes)
        return replace(self, config=self.config.model_copy(update={"recipe": recipe}))

    @property
    def lesson(self) -> Lesson:
        views = Views(self.config.recipe, self.data, torch.device("cpu"))
        return Lesson(self.config, self.data, self.data.train, views, torch.device(self.device), lambda: self.teacher)

    @property
    def names(self) -> list[str]:
        """The shelves of an epoch's training views and of its strong ones."""
        bank = Names()
        last = self.with_recipe(epochs=self.epoch)  # after which no other is looked up
        BankedTeacher(last.lesson, bank, strong=True).begin(self.epoch)
        return bank.asked


@pytest.fixture(scope="module")
def some(few: ImageData) -> ImageData:
    """Forty images, which are hashed in no time."""
    return replace(few, train=few.train.take(torch.arange(40)), test=few.test.take(torch.arange(2)))


def case(data: ImageData, teacher: Network, views: str) -> Case:
    return Case(small_trial("sld", **VIEWS[views]), data, teacher)


def other_teacher(of: Case) -> Case:
    assert of.config.teacher is not None
    taught_by = of.config.teacher.model_copy(update={"hash": "f" * 16})
    return replace(of, config=of.config.model_copy(update={"teacher": taught_by}))


def other_pixels(of: Case) -> Case:
    train = of.data.train
    assert isinstance(train, Split)
    return replace(of, data=replace(of.data, train=replace(train, images=255 - train.images)))


def other_seed(of: Case) -> Case:
    return replace(of, config=of.config.model_copy(update={"seed": 1}))


ALWAYS: dict[str, Callable[[Case], Case]] = {
    "another teacher": other_teacher,
    "other pixels": other_pixels,
    "another mean": lambda of: replace(of, data=replace(of.data, mean=(0.1, 0.2, 0.3))),
    "another standard deviation": lambda of: replace(of, data=replace(of.data, std=(0.1, 0.2, 0.3))),
    "another precision": lambda of: of.with_recipe(precision="bf16"),
    "another rounding": lambda of: of.with_recipe(teacher_logits="fp32"),
    "another device": lambda of: replace(of, device="meta"),
}
"""What decides all logits."""
VIEW: dict[str, tuple[Callable[[Case], Case], set[str]]] = {
    "another padding": (lambda of: of.with_recipe(pad=2), {"weak", "autoaugment"}),
    "flips": (lambda of: of.with_recipe(flip=True), {"weak", "autoaugment"}),
    "another cutout": (lambda of: of.with_recipe(cutout=4), {"autoaugment"}),
    "another seed": (other_seed, {"autoaugment"}),
    "another epoch": (lambda of: replace(of, epoch=2), {"autoaugment"}),
}
"""What decides the training view, and under which recipes it does."""
STRONG: dict[str, Callable[[Case], Case]] = {
    "another padding": lambda of: of.with_recipe(pad=2),
    "flips": lambda of: of.with_recipe(flip=True),
    "no crops": lambda of: of.with_recipe(views="none"),
    "another number of operations": lambda of: of.with_recipe(randaugment_ops=1),
    "another grey square": lambda of: of.with_recipe(strong_cutout=0.25),
    "another seed": other_seed,
    "another epoch": lambda of: replace(of, epoch=2),
}
"""What decides the strong view, where the training view is the weak one."""
NOWHERE: dict[str, Callable[[Case], Case]] = {
    "another rate": lambda of: of.with_recipe(lr=0.01),
    "another batch size": lambda of: of.with_recipe(batch_size=16),
}
"""What decides no view."""


@pytest.fixture(autouse=True)
def one_pass_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every device, so that the device alone makes the difference."""
    monkeypatch.setattr(lessons, "PASS_IMAGES_GPU", lessons.PASS_IMAGES)


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("change", ALWAYS)
def test_what_decides_the_logits_names_the_shelf(some: ImageData, teacher: Network, change: str, views: str) -> None:
    before = case(some, teacher, views)
    after = ALWAYS[change](before)
    assert len({*before.names, *after.names}) == 4


@pytest.mark.parametrize("views", VIEWS)
def test_the_size_of_a_pass_names_the_shelf(
    some: ImageData, teacher: Network, views: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since an image's logits are rounded otherwise in a pass of another size."""
    before = case(some, teacher, views).names
    monkeypatch.setattr(lessons, "PASS_IMAGES", 64)
    assert len({*before, *case(some, teacher, views).names}) == 4


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("change", VIEW)
def test_what_decides_the_training_view_names_its_shelf(
    some: ImageData, teacher: Network, change: str, views: str
) -> None:
    before = case(some, teacher, views)
    make, matters = VIEW[change]
    assert (make(before).names[0] != before.names[0]) == (views in matters)


@pytest.mark.parametrize("change", STRONG)
def test_what_decides_the_strong_view_names_its_shelf(some: ImageData, teacher: Network, change: str) -> None:
    before = case(some, teacher, "weak")
    assert STRONG[change](before).names[1] != before.names[1]


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("change", NOWHERE)
def test_what_decides_no_view_leaves_the_shelf_s_name(
    some: ImageData, teacher: Network, change: str, views: str
) -> None:
    before = case(some, teacher, views)
    assert NOWHERE[change](before).names == before.names


def test_the_shape_of_a_shelf_names_it() -> None:
    names = Names()
    shape: dict[str, Any] = {"views": 9, "classes": 10, "dtype": torch.float16}
    changes: list[dict[str, Any]] = [{}, {"views": 18}, {"classes": 100}, {"dtype": torch.float32}]
    for change in changes:
        names.shelf({"teacher": "one"}, **(shape | change))
    assert len(set(names.asked)) == len(changes)


@pytest.mark.parametrize("banked", [False, True], ids=["computed", "banked"])
def test_each_image_hears_what_the_teacher_says_of_its_own_view(
    some: ImageData, teacher: Network, banked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In passes of 16, of which the last one is not full, and whatever the order of the batch."""
    monkeypatch.setattr(lessons, "PASS_IMAGES", 16)
    lesson = case(some, teacher, "weak").with_recipe(teacher_logits="fp32").lesson
    taught = BankedTeacher(lesson, LogitBank(tmp_path) if banked else None, strong=True)
    taught.begin(2)
    (part,) = some.train.batches([torch.randperm(40, generator=torch.Generator().manual_seed(1))])
    for tell, see in ((taught.view, lesson.views.training), (taught.strong, lesson.views.strong)):
        images = see(part.images, part.index, lesson.config.seed, 2)
        (view,) = tell(images, part.index, [40])
        told = view.teacher
        assert told is not None
        with torch.no_grad():
            torch.testing.assert_close(told.logits, teacher(images), rtol=1e-4, atol=1e-4)
