"""A method as a function, or as a class of the user's."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.support.own import MYKD, Folder
from tests.trainers.examples import small_trial
from trainers.check import refuse_mixed
from trainers.config import MethodConfig
from trainers.distillers import METHODS, Batch, Distiller, LogitDistiller, Setting, build_distiller
from trainers.distillers.base import View
from trainers.errors import InputError
from trainers.models import Features, build

HEAD = "import torch\nfrom typing import Annotated\nfrom pydantic import Field\nfrom trainers import method\n"
CLASSES, SIZE = 4, 3
SETTING = Setting(num_classes=CLASSES, image_size=(16, 16))


def refused(folder: Folder, text: str) -> str:
    with pytest.raises(InputError) as error:
        folder.load(one=HEAD + textwrap.dedent(text))
    return str(error.value)


def made(folder: Folder, text: str, name: str = "own", **params: Any) -> Distiller:
    folder.load(one=HEAD + textwrap.dedent(text))
    torch.manual_seed(0)
    return build_distiller(MethodConfig(name=name, params=params), build("resnet8", num_classes=CLASSES), SETTING)


def batch(*, teacher: bool = True, strong: bool = False, epoch: int = 1) -> Batch:
    draws = torch.Generator().manual_seed(1)

    def logits() -> Features | None:
        return Features.of_logits(torch.randn(SIZE, CLASSES, generator=draws)) if teacher else None

    def images() -> torch.Tensor:
        return torch.randn(SIZE, 3, 16, 16, generator=draws)

    targets, index = torch.tensor([0, 1, 2]), torch.tensor([10, 11, 12])
    return Batch(images(), targets, index, epoch, logits(), View(images(), logits()) if strong else None)


def test_a_function_is_a_complete_method(folder: Folder) -> None:
    folder.load(one=MYKD)
    kind = METHODS["mykd"]
    assert kind.summary == "Squared differences of softened probabilities."
    assert kind.Params().model_dump() == {
        "ce_weight": 1.0,
        "weight": 1.0,
        "warmup_epochs": 0,
        "beta": 2.0,
        "temperature": 4.0,
    }
    assert issubclass(kind, LogitDistiller)
    assert (kind.teacher_needs, kind.strong_view, kind.stateless) == ("logits", False, True)


def test_its_loss_is_the_function_s_beside_the_cross_entropy(folder: Folder) -> None:
    folder.load(one=MYKD)
    student = build("resnet8", num_classes=CLASSES).eval()
    distiller = build_distiller(MethodConfig(name="mykd", params={"beta": 3.0}), student, SETTING).eval()
    given = batch()
    losses = distiller.losses(given)
    logits, teacher = student(given.images), given.need_teacher().logits
    expected = 3.0 * F.mse_loss(F.softmax(logits / 4, 1), F.softmax(teacher / 4, 1))
    assert set(losses.terms) == {"ce", "mykd"}
    torch.testing.assert_close(losses.terms["mykd"], expected)
    torch.testing.assert_close(losses.terms["ce"], F.cross_entropy(logits, given.targets))
    losses.terms["mykd"].backward()
    assert any(parameter.grad is not None for parameter in student.parameters())


def test_weights_and_warm_up_are_arguments_of_the_decorator_and_of_the_spec(folder: Folder) -> None:
    text = "@method('own', ce_weight=0.5, weight=2.0, warmup_epochs=4)\ndef own(student):\n    return student.mean()\n"
    assert made(folder, text).weights(1) == {"ce": 0.5, "own": 0.5}
    assert made(folder, text).weights(4) == made(folder, text).weights(99) == {"ce": 0.5, "own": 2.0}
    assert made(folder, text, weight=1.0, warmup_epochs=0).weights(1) == {"ce": 0.5, "own": 1.0}


def test_a_function_gets_what_it_names_in_its_own_order(folder: Folder) -> None:
    own = made(
        folder,
        """
        SEEN = []
        @method("own", strong_view=True)
        def own(epoch, index, strong_teacher, targets, strong_student, teacher, student):
            SEEN.append((epoch, index.tolist(), targets.tolist(), strong_teacher, strong_student, teacher))
            return student.mean()
        """,
    )
    given = batch(strong=True, epoch=7)
    own.losses(given)
    import one  # type: ignore[import-not-found]

    ((epoch, index, targets, strong_teacher, strong_student, teacher),) = one.SEEN
    assert (epoch, index, targets) == (7, [10, 11, 12], [0, 1, 2])
    assert torch.equal(teacher, given.need_teacher().logits)
    assert torch.equal(strong_teacher, given.need_strong().need_teacher().logits)
    assert strong_student.shape == (SIZE, CLASSES)
    assert not torch.equal(strong_student, teacher)


def test_a_function_of_features_gets_whole_passes(folder: Folder) -> None:
    text = """
    @method("own", teacher_needs="features")
    def own(student, teacher):
        return student.stages[-1].mean() + teacher.logits.mean()
    """
    assert made(folder, text).losses(batch()).terms["own"].shape == ()


def test_a_function_without_a_teacher(folder: Folder) -> None:
    text = "@method('own', teacher_needs='nothing')\ndef own(student, targets):\n    return student.pow(2).mean()\n"
    assert set(made(folder, text).losses(batch(teacher=False)).terms) == {"ce", "own"}


CLASS = """
from trainers.distillers import LogitDistiller, MethodParams

class Params(MethodParams):
    scale: float = 2.0

@method("own"{arguments})
class Own({base}):
    "Mine."
    {params}
    def terms(self, student, teacher, targets):
        return {{"own": self.params.scale * (student - teacher).pow(2).mean()}}
    {weights}
"""
GIVEN = {
    "arguments": "",
    "base": "LogitDistiller",
    "params": "Params = Params",
    "weights": "def weights(self, epoch):\n        return {'ce': 1.0, 'own': 1.0}",
}


@pytest.mark.parametrize("name", ["ce", "ce_strong", "loss"])
def test_the_name_of_another_loss_is_no_method_s(folder: Folder, name: str) -> None:
    text = f"""
    @method("{name}")
    def own(student, teacher, targets):
        return student.mean()
    """
    assert f"'{name}' is the name of another term of every loss" in refused(folder, text)


def test_a_class_is_taken_as_it_is(folder: Folder) -> None:
    own = made(folder, CLASS.format(**GIVEN), scale=3.0)
    assert METHODS["own"].summary == "Mine."
    assert set(own.losses(batch()).terms) == {"ce", "own"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"base": "torch.nn.Module"}, "is neither a function nor a class that extends Distiller"),
        ({"arguments": ", weight=2.0"}, "is a class: it says itself what it needs, how it weighs and warms up"),
        ({"arguments": ", strong_view=True"}, "is a class: it says itself"),
        ({"params": "pass"}, "has no Params: a class of its hyperparameters that extends MethodParams"),
        ({"params": "Params = dict"}, "has no Params"),
        ({"params": "class Params(MethodParams):\n        names: set[str] = {'a'}"}, "the argument 'names' is a set"),
        ({"weights": ""}, "lacks what every method has: weights"),
    ],
)
def test_a_class_that_is_no_method(folder: Folder, change: dict[str, str], told: str) -> None:
    assert told in refused(folder, CLASS.format(**(GIVEN | change)))


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("own(student, scale)", "a method reads no 'scale' here: it reads epoch, index, student, targets, teacher"),
        ("own(student, strong_student)", "reads no 'strong_student' here; it does with strong_view=True"),
        ("own(teacher)", "a method reads `student` at least"),
        ("own()", "a method reads `student` at least"),
        ("own(student, *, beta=2.0)", "the argument 'beta' has no type; write `beta: float`, say"),
        ("own(student, *, beta: float)", "the argument 'beta' has no default"),
        ("own(student, *, names: set[str] = {'a', 'b'})", "the argument 'names' is a set, whose order is another in"),
        ("own(student, *, names: dict[str, frozenset] | None = None)", "the argument 'names' is a set"),
        (r"own(student, *, name: str = '\ud800')", "a default is none that its type allows: 'utf-8' codec"),
        ("own(student, *, beta: float = 'x')", "a default is none that its type allows: beta: "),
        ("own(student, *, beta: float = None)", "a default is none that its type allows: beta: "),
        ("own(student, *, beta: float = float('nan'))", "a default is none that its type allows"),
        ("own(student, *, beta: torch.Tensor = None)", "an argument's type is none that a spec can hold"),
        ("own(student, *, beta: len = 1)", "an argument's type is none that a spec can hold"),
        ("own(student, *, beta: 'Nothing' = 1)", "the type of the argument 'beta' cannot be read"),
        ("own(student, *, beta: 'torch.Nothing' = 1)", "the type of the argument 'beta' cannot be read"),
        ("own(student, *, weight: float = 1.0)", "the argument 'weight' has a name that is taken here"),
        ("own(student, *, copy: float = 1.0)", "the argument 'copy' has a name that is taken here"),
        ("own(student, *, _beta: float = 1.0)", "the argument '_beta' has a name that is taken here"),
        ("own(student, *, beta: Annotated[float, Field(ge=0)] = -1.0)", "beta: Input should be greater than or equal"),
    ],
)
def test_an_argument_that_cannot_be(folder: Folder, head: str, told: str) -> None:
    message = refused(folder, f"@method('own')\ndef {head}:\n    return student.mean()\n")
    assert told in message
    assert f"{folder.path / 'one.py'}:5: " in message


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("teacher_needs='logit'", "teacher_needs is one of nothing, logits, features, found 'logit'"),
        ("weight=-1.0", "a default is none that its type allows: weight: "),
        ("warmup_epochs=-1", "a default is none that its type allows: warmup_epochs: "),
        ("teacher_needs='nothing'", "a method reads no 'teacher' here"),
    ],
)
def test_an_argument_of_the_decorator_that_cannot_be(folder: Folder, arguments: str, told: str) -> None:
    text = f"@method('own', {arguments})\ndef own(student, teacher):\n    return student.mean()\n"
    assert told in refused(folder, text)


def test_names_for_type_checkers_alone_do_not_matter(folder: Folder) -> None:
    text = """
    from __future__ import annotations
    from typing import TYPE_CHECKING
    from trainers import method
    if TYPE_CHECKING:
        from torch import Tensor

    @method("own")
    def own(student: Tensor, *, beta: float = 2.0) -> Tensor:
        return beta * student.mean()
    """
    folder.load(one=textwrap.dedent(text))
    assert METHODS["own"].Params().model_dump()["beta"] == 2.0


def test_bounds_hold_for_a_spec_s_values(folder: Folder) -> None:
    folder.load(
        one=HEAD
        + "@method('own')\ndef own(student, *, beta: Annotated[float, Field(ge=0)] = 1.0, model_dim: int = 3):\n"
        "    return student.mean()\n"
    )
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        METHODS["own"].Params.model_validate({"beta": -1})
    with pytest.raises(ValueError, match="Extra inputs"):
        METHODS["own"].Params.model_validate({"gamma": 1})


def test_a_loss_is_called_thousands_of_times_without_a_look_at_its_source(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = made(folder, MYKD, "mykd")
    monkeypatch.setattr("inspect.unwrap", lambda *given: pytest.fail("looked up at each step"))
    own.losses(batch())


OWN_CLASS = """
from trainers.distillers import LogitDistiller, MethodParams

@method('own')
class Own(LogitDistiller):
    Params = MethodParams
    {said}

    def terms(self, student, teacher, targets):
        return {{'own': (student - teacher).square().mean()}}

    def weights(self, epoch):
        return {{'ce': 1.0, 'own': 1.0}}
"""


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("@method('own')\ndef own(student, teacher, targets):\n    return student.mean()\n", True),
        ("@method('own')\ndef own(student, teacher):\n    return student.mean()\n", False),
        ("@method('own')\ndef own(student, targets, epoch):\n    return student.mean()\n", True),
        ("@method('own')\ndef own(student, index, epoch):\n    return student.mean()\n", False),
        (OWN_CLASS.format(said=""), True),
        (OWN_CLASS.format(said="reads_labels = False"), False),
    ],
)
def test_one_that_may_read_labels_refuses_mixed_images(folder: Folder, text: str, reads: bool) -> None:
    distiller = made(folder, text)
    assert distiller.reads_labels is reads
    if not reads:
        return refuse_mixed(distiller, small_trial("kd", mixup=0.5))
    with pytest.raises(InputError, match="takes every image to have one label"):
        refuse_mixed(distiller, small_trial("kd", mixup=0.5))
    return None
