"""A distillation method as a function: its arguments say what it reads, its keyword arguments what a spec may set.

::

    @method("mykd")
    def mykd(student, teacher, targets, *, beta: float = 2.0, temperature: float = 4.0) -> Tensor: ...

    L = ce_weight * CE(student, targets) + ramp * weight * mykd(student, teacher, targets)

`ramp` rises linearly to 1 over the first `warmup_epochs` epochs; the weights are hyperparameters too.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import Field
from torch import Tensor

from trainers.distillers.base import Batch, Distiller, LogitDistiller, Losses, MethodParams, Setting, ramp
from trainers.distillers.registry import METHODS
from trainers.models import Features, Network
from trainers.own.given import READS, STRONG, Given, Passed
from trainers.own.registration import Origin, register
from trainers.own.signature import WITHOUT_SOURCE, check_order, config, positional

Loss = Callable[..., Any]
D = TypeVar("D", bound=Callable[..., Any])
Needs = Literal["nothing", "logits", "features"]

Weight = Annotated[float, Field(ge=0)]
Epochs = Annotated[int, Field(ge=0)]
WEIGHTS = {"ce_weight": Weight, "weight": Weight, "warmup_epochs": Epochs}
"""Hyperparameters that every function has beside its own."""


class FunctionParams(MethodParams):
    """Base of the functions' hyperparameters."""

    model_config = WITHOUT_SOURCE


OTHER_TERMS = frozenset({"ce", "ce_strong", "loss"})
"""Names under which an epoch's other losses are noted; a function's own stands under the method's."""


def method(
    name: str,
    *,
    teacher_needs: Needs = "logits",
    strong_view: bool = False,
    ce_weight: float = 1.0,
    weight: float = 1.0,
    warmup_epochs: int = 0,
    summary: str = "",
) -> Callable[[D], D]:
    """Register a function as a distillation method, or a :class:`~trainers.distillers.base.Distiller` of your own.

    The function's arguments before the ``*`` are some of `student`, `teacher`, `targets` (int64 ``[B]``), `epoch`
    (counted from 1), `index` (int64 ``[B]``, each image's place in the data set), `strong_student` and
    `strong_teacher`. Those after it, with types and defaults, are hyperparameters. It returns a scalar.

    Args:
        name: what specs call it.
        teacher_needs: what the function gets of each network: `logits`, float32 ``[B, C]``; `features`, whole passes
            (:class:`~trainers.models.base.Features`); with `nothing` there is no teacher, and of the student its
            logits.
        strong_view: whether it may read the strong view as well.
        ce_weight: the default weight of the cross-entropy with the labels.
        weight: the default weight of what the function returns.
        warmup_epochs: the default number of epochs over which `weight` rises from 0; 0 for none.
        summary: one line for ``sweep list methods``; by default the docstring's first.

    Raises:
        InputError: for a name that is none or taken, an argument that no method has, and one without type or default.
    """
    defaults = {"ce_weight": ce_weight, "weight": weight, "warmup_epochs": warmup_epochs}
    plain = (teacher_needs, strong_view, *defaults.values()) == ("logits", False, 1.0, 1.0, 0)

    def registered(given: D) -> D:
        origin = Origin.of(given)
        if teacher_needs not in get_args(Needs):
            raise origin.refuse(f"teacher_needs is one of {', '.join(get_args(Needs))}, found {teacher_needs!r}")
        if not isinstance(given, type):
            made = _of_function(name, given, origin, teacher_needs, strong_view, defaults, summary)
        else:
            made = _of_class(name, given, origin, plain, summary)
        made.one_graph = False  # it may read the epoch, and do in Python whatever it likes
        register(METHODS, name, made, origin)
        return given

    return registered


def _of_class(name: str, given: type, origin: Origin, plain: bool, summary: str) -> type[Distiller]:
    """A class as it is, where it is a method's."""
    if not issubclass(given, Distiller):
        raise origin.refuse(f"method '{name}' is neither a function nor a class that extends Distiller")
    if not plain:
        raise origin.refuse(f"method '{name}' is a class: it says itself what it needs, how it weighs and warms up")
    if not issubclass(getattr(given, "Params", type(None)), MethodParams):
        raise origin.refuse(f"method '{name}' has no Params: a class of its hyperparameters that extends MethodParams")
    for field, info in given.Params.model_fields.items():
        check_order(field, info.annotation, origin)
    theirs = [part for part in given.__mro__ if not part.__module__.startswith("trainers.")]
    if not any("reads_labels" in part.__dict__ for part in theirs):
        given.reads_labels = True  # nobody can know what it makes of `targets`
    lacking = sorted(given.__abstractmethods__)
    if lacking:
        raise origin.refuse(f"method '{name}' lacks what every method has: {', '.join(lacking)}")
    if summary or "summary" not in given.__dict__:
        given.summary = summary or _first_line(given) or f"{name}, a method of your own"
    return given


def own_losses(kind: type[Distiller]) -> bool:
    """Whether a class of the user's computes its cross-entropy by itself, and not by what reads labels as the recipe
    says (:meth:`trainers.distillers.base.Batch.ce`), as far as its text shows."""
    losses = kind.losses
    if losses.__module__.partition(".")[0] == "trainers":
        return False
    try:
        text = inspect.getsource(losses)
    except (OSError, TypeError):  # no text of it is kept
        return True
    return "cross_entropy(" in text or not (".ce(" in text or "super().losses(" in text)


def _first_line(given: object) -> str:
    """Of its own docstring."""
    return (given.__doc__ or "").strip().partition("\n")[0]


class FunctionDistiller(Distiller):
    """A user's function that reads more than one view's logits."""

    name: ClassVar[str]
    loss: ClassVar[Loss]
    reads: ClassVar[tuple[str, ...]]
    origin: ClassVar[Origin]

    def __init__(self, params: Any, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> FunctionDistiller:
        """The method around `student`; nothing is added to it."""
        return cls(params, student, setting)

    def losses(self, batch: Batch) -> Losses:
        """`ce` of the student's view, and what the function returns, under the method's name.

        Raises:
            TypeError: where the batch lacks a teacher's pass or a strong view that the function reads.
            InputError: where the function returns no loss, or changes an argument.
        """
        whole = self.passed(batch.images).float()
        strong = {}
        if self.strong_view:
            other = batch.need_strong()
            strong = {"strong_student": self._part(self.passed(other.images)), "strong_teacher": self._teacher(other)}
        given = Given.of(batch, self._part(whole), self._teacher(batch), **strong)
        ce = batch.ce(whole.logits)
        return Losses(whole.logits, {"ce": ce, self.name: self.computed(given)})

    def computed(self, given: Given) -> Tensor:
        """What the function returns, a scalar. Raises InputError where that is no loss."""
        return _computed(self, given)

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `weight` for the function's term, which rises linearly over `warmup_epochs`."""
        return _weights(self.name, self.params, epoch)

    def _part(self, passed: Features) -> Passed:
        """What the function reads of a pass."""
        whole = passed.float()
        return whole if self.teacher_needs == "features" else whole.logits

    def _teacher(self, batch: Batch) -> Passed | None:
        return None if self.teacher_needs == "nothing" else self._part(_held_fixed(batch.need_teacher()))


class LogitFunction(LogitDistiller):
    """A user's function of one view's logits and labels, which DHKD can take as its `main` too."""

    name: ClassVar[str]
    loss: ClassVar[Loss]
    reads: ClassVar[tuple[str, ...]]
    origin: ClassVar[Origin]

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """What the function returns for logits ``[B, C]``, under the method's name. Raises InputError where that is no
        loss, or an argument was changed."""
        given = Given({"student": student, "teacher": teacher.detach(), "targets": targets})
        return {self.name: _computed(self, given)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce`; `weight` for the function's term, which rises linearly over `warmup_epochs`."""
        return _weights(self.name, self.params, epoch)


def _held_fixed(passed: Features) -> Features:
    """A teacher's pass as a function reads it: no gradient reaches the teacher, whatever the function does."""
    stages, before = (tuple(maps.detach() for maps in part) for part in (passed.stages, passed.preactivations))
    return Features(passed.logits.detach(), passed.pooled.detach(), stages, before, passed.unpooled.detach())


def _computed(method: FunctionDistiller | LogitFunction, given: Given) -> Tensor:
    """One call of the user's function."""
    kind = type(method)
    own = {name: value for name, value in dict(method.params).items() if name not in WEIGHTS}
    before = given.versions()
    loss = kind.loss(*(given.values[name] for name in kind.reads), **own)
    return given.check(loss, before, kind.name, kind.origin)


def _weights(name: str, params: Any, epoch: int) -> dict[str, float]:
    return {"ce": params.ce_weight, name: ramp(epoch, params.warmup_epochs) * params.weight}


def _of_function(
    name: str, loss: Loss, origin: Origin, needs: Needs, strong: bool, defaults: dict[str, float], summary: str
) -> type[Distiller]:
    """The class of a function."""
    if name in OTHER_TERMS:
        raise origin.refuse(f"'{name}' is the name of another term of every loss; give the method another name")
    reads = positional(loss)
    _check_reads(reads, needs, strong, origin)
    simple = needs == "logits" and set(reads) <= {"student", "teacher", "targets"}
    content = {
        "Params": config(loss, FunctionParams, {field: (of, defaults[field]) for field, of in WEIGHTS.items()}),
        "summary": summary or _first_line(loss) or f"{name}, a method of your own",
        "teacher_needs": needs,
        "strong_view": strong,
        "name": name,
        "loss": staticmethod(loss),
        "reads": tuple(reads),
        "reads_labels": "targets" in reads,
        "origin": origin,
        "__module__": origin.module,
    }
    made: type[Distiller] = type(str(name), (LogitFunction if simple else FunctionDistiller,), content)
    return made


def _check_reads(reads: list[str], needs: Needs, strong: bool, origin: Origin) -> None:
    """Raises InputError for an argument that is nothing that such a method reads."""
    without = {"teacher", "strong_teacher"} if needs == "nothing" else set()
    allowed = {*READS, *(STRONG if strong else ())} - without
    for argument in reads:
        if argument not in allowed:
            hint = "; it does with strong_view=True" if argument in STRONG and not strong else ""
            raise origin.refuse(
                f"a method reads no '{argument}' here{hint}: it reads {', '.join(sorted(allowed))}; its hyperparameters"
                " stand after a `*`"
            )
    if "student" not in reads:
        raise origin.refuse("a method reads `student` at least: what it is to teach")
