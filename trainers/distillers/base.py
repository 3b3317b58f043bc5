"""What a distillation method is: a module that holds the student and returns named, unweighted loss terms.

The trainer (:mod:`trainers.fit`) weighs the terms, sums them, logs them by name and steps the optimiser over all of
the distiller's parameters. What a method learns beside the student (an auxiliary head, connectors) is a submodule of
the distiller, so it trains with the student and is dropped when `distiller.student` is exported.

Shapes: `B` batch, `C` classes, `N` training images, `H`, `W` pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch

from trainers.accelerator import compiled_forgotten
from trainers.config import Frozen
from trainers.distillers.labels import AS_THEY_ARE, LabelReading, Partners, label_loss
from trainers.models import Features, Network
from trainers.models.batch_counts import count_on_host

REPLAYED_ON = "cuda"
"""The kind of device on which the whole step is compiled, and its graphs are replayed in the memory that they were
recorded in."""


def _nothing() -> Tensor:
    return torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class Setting:
    """Where a method is trained: what it may size its own layers and memories by."""

    num_classes: int
    image_size: tuple[int, int] = (32, 32)
    """Height and width of the student's view, in pixels."""
    teacher: Network | None = None
    """The trained teacher, in evaluation mode; None for methods that need none. Methods copy from it at most."""
    index: Tensor = field(default_factory=_nothing)  # int64 [N], rising: each training image's place in the data set
    labels: Tensor = field(default_factory=_nothing)  # int64 [N], of the same images
    seed: int = 0
    """The trial's, the address of draws that a method makes while it trains."""

    def need_teacher(self) -> Network:
        """The teacher; raises TypeError where a method was wired without one."""
        if self.teacher is None:
            raise TypeError("this method needs a teacher, and it is built without one")
        return self.teacher


@dataclass(frozen=True)
class View:
    """One view of a batch of images, and what the teacher makes of it."""

    images: Tensor  # float [B, 3, H, W]
    teacher: Features | None = None


@dataclass(frozen=True)
class Batch:
    """One step's input, on the training device."""

    images: Tensor  # float [B, 3, H, W], the student's view
    targets: Tensor  # int64 [B]
    index: Tensor  # int64 [B], each image's place in the data set
    epoch: int
    """Counted from 1."""
    teacher: Features | None = None
    """The teacher's pass over the same view, without gradient; None for methods that need no teacher."""

    strong: View | None = None
    """The strong view of the same images, for methods with :attr:`Distiller.strong_view`."""
    reading: LabelReading = AS_THEY_ARE
    """How the recipe reads labels."""
    partners: Partners | None = None
    """What the images were mixed with; None where each is its own."""

    def __len__(self) -> int:
        """`B`."""
        return len(self.targets)

    def ce(self, logits: Tensor) -> Tensor:
        """The cross-entropy of logits ``[B, C]`` with the labels, as the recipe reads them: what a method's `ce` is."""
        return label_loss(logits, self.targets, self.reading, self.partners)

    def need_teacher(self) -> Features:
        """The teacher's pass; raises TypeError where a method was wired without one."""
        if self.teacher is None:
            raise TypeError("this method needs a teacher, and the batch carries none")
        return self.teacher

    def need_strong(self) -> Batch:
        """The same batch with the strong view in place of the weak one; raises TypeError where there is none."""
        if self.strong is None:
            raise TypeError("this method needs a strong view, and the batch carries none")
        return replace(self, images=self.strong.images, teacher=self.strong.teacher, strong=None)


@dataclass(frozen=True)
class Losses:
    """What one forward pass of a distiller gives."""

    logits: Tensor  # [B, C], the main head's, for the training accuracy
    terms: dict[str, Tensor]
    """Unweighted scalar loss terms by name; `ce` is the cross-entropy with the labels."""

    def kept(self) -> Losses:
        """The same numbers, and gradients to the same terms, in memory that a graph's next replay leaves alone."""
        terms = torch.stack(list(self.terms.values())).unbind()
        return Losses(self.logits.detach().clone(), dict(zip(self.terms, terms, strict=True)))


class MethodParams(Frozen):
    """Base of the methods' hyperparameters."""


class Distiller(nn.Module, ABC):
    """Base of all methods."""

    Params: ClassVar[type[MethodParams]]
    """The method's hyperparameters; its fields are the keys that a spec may set."""
    summary: ClassVar[str]
    """One line, with the source, for `sweep list methods`."""
    teacher_needs: ClassVar[Literal["nothing", "logits", "features"]] = "logits"
    """What of the teacher's pass the method reads. A method that reads `features` reads the student's as well."""
    copies_teacher: ClassVar[bool] = False
    """Whether it copies some of the teacher's weights when it is built, though it reads nothing but logits."""
    strong_view: bool = False
    """Whether batches must carry a strong view as well; a method may settle it by its hyperparameters."""
    reads_labels: bool = False
    """Whether a term beside the cross-entropy reads the label of each image, which must then be one; a method may
    settle it by its hyperparameters."""
    remembers_images: ClassVar[bool] = False
    """Whether it keeps something of every training image from one step to the next."""
    one_graph: bool = True
    """Whether a compiler takes :meth:`losses` as a whole, and once for all epochs (:meth:`begin`)."""
    _begun: int | None = None
    _autocast: torch.dtype | None = None
    _compiled_size: int | None = None
    _compiled_losses: Callable[[Batch], Losses] | None = None
    _compiled_pass: Callable[[Tensor], Features] | None = None
    _replays: bool = False

    def __init__(self, student: Network, setting: Setting) -> None:
        super().__init__()
        self.student = student
        self.num_classes = setting.num_classes

    @classmethod
    @abstractmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> Distiller:
        """The method around `student`, which is already initialised.

        Raises:
            InputError: for hyperparameters, or a pair of networks, that do not go together.
        """

    @abstractmethod
    def losses(self, batch: Batch) -> Losses:
        """One forward pass in training mode. Runs in fp32 but for the student's pass, see :meth:`passed`."""

    @abstractmethod
    def weights(self, epoch: int) -> dict[str, float]:
        """The weight of each term of :meth:`losses` in this epoch (counted from 1)."""

    def set_up(self, autocast: torch.dtype | None, compiled: int | None) -> None:
        """How the steps are computed.

        Args:
            autocast: precision of the student's passes, where it is not float32.
            compiled: images of the batches whose step is compiled: on a GPU losses and their gradient, as one graph
                each; on a CPU, and of a method that is not :attr:`one_graph`, the student's passes alone. None compiles
                nothing. Batches of another size, such as an epoch's last one, are not worth a compilation of their own.
        """
        self._autocast = autocast
        if compiled is None:
            count_on_host(self)  # a compiled pass counts on the device, within its graph
            return
        functorch.donated_buffer = not self.anchors  # with which the graph is walked backward more than once
        _forget_others(self, autocast, compiled)
        self._compiled_size = compiled
        there = next(self.student.parameters()).device.type == REPLAYED_ON
        self._replays = there and not self.anchors
        mode = "reduce-overhead" if self._replays else "default"  # the former replays CUDA graphs
        if self.one_graph and there:
            self._compiled_losses = torch.compile(self.losses, dynamic=False, mode=mode)
        else:
            what = self.student.features if self.teacher_needs == "features" else self._heads
            self._compiled_pass = torch.compile(what, dynamic=False, mode=mode)

    @property
    def compiles(self) -> bool:
        """Whether its steps are compiled."""
        return self._compiled_size is not None

    def losses_as_set_up(self, batch: Batch) -> Losses:
        """:meth:`losses`, compiled where the recipe asks for it."""
        self.at(batch.epoch)
        if self._compiled_losses is None or not self.training or len(batch) != self._compiled_size:
            return self.losses(batch)
        found = self._compiled_losses(batch)
        return found.kept() if self._replays else found

    def begin(self, epoch: int) -> None:
        """Get ready for the steps of an epoch, counted from 1: what depends on it goes into buffers, in place, so that
        a compiled step reads it there and need not be compiled anew."""

    def at(self, epoch: int) -> None:
        """:meth:`begin` where it has not been called for this epoch; within a compiled step it has been."""
        if not torch.compiler.is_compiling() and epoch != self._begun:
            self._begun = epoch
            self.begin(epoch)

    def _heads(self, images: Tensor) -> Features:
        """A pass without its inner stations, which a compiler then need not bring forth."""
        passed = self.student.features(images)
        return Features.of_logits(passed.logits, passed.pooled)

    def passed(self, images: Tensor) -> Features:
        """The student's pass over ``[B, 3, H, W]`` as the recipe computes it; take what is read to float32.

        Methods whose `teacher_needs` are not features may read its logits and `pooled` alone.
        """
        fits = self.training and len(images) == self._compiled_size
        run = self._compiled_pass if self._compiled_pass is not None and fits else self.student.features
        if self._autocast is None:
            return run(images)
        with torch.autocast(images.device.type, self._autocast):
            return run(images)

    @property
    def predictor(self) -> Network:
        """What is evaluated and exported: the student, without what the method learnt beside it."""
        return self.student

    @property
    def labelled(self) -> Network:
        """The network whose logits `ce` compares with the labels: the predictor, unless that mixes several heads."""
        return self.predictor

    @property
    def anchors(self) -> frozenset[str]:
        """Terms whose gradient the other terms' may not oppose (DHKD, section 4.3); empty: no alignment."""
        return frozenset()


class LogitDistiller(Distiller):
    """Base of the methods that read one view's logits and add nothing to the student: they state terms and weights."""

    stateless: ClassVar[bool] = True
    """Whether the terms depend on the logits alone, so that another method may take them over (DHKD's `main`)."""

    def __init__(self, params: Any, student: Network, setting: Setting) -> None:
        super().__init__(student, setting)
        self.params = params

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> LogitDistiller:
        """The method around `student`; nothing is added to it."""
        return cls(params, student, setting)

    @abstractmethod
    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The unweighted distillation terms, scalars by name, from float32 logits ``[B, C]`` and labels ``[B]``."""

    def losses(self, batch: Batch) -> Losses:
        """`ce`, and :meth:`terms` of the student's and the teacher's logits, both in float32.

        Raises:
            TypeError: where the batch carries no teacher's pass.
        """
        logits = self.passed(batch.images).logits.float()
        teacher = batch.need_teacher().logits.float()
        ce = batch.ce(logits)
        return Losses(logits, {"ce": ce, **self.terms(logits, teacher, batch.targets)})


class FeatureDistiller(Distiller):
    """Base of the methods that compare inner stations of teacher and student: they state terms of two passes."""

    teacher_needs: ClassVar[Literal["nothing", "logits", "features"]] = "features"

    @abstractmethod
    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """The unweighted distillation terms, scalars by name, from two passes over one batch in float32.

        Args:
            student, teacher: maps ``[B, channels, h, w]``, pooled features ``[B, D]`` and logits ``[B, C]`` of each.
            batch: with the labels, and each image's place in the data set.
        """

    def losses(self, batch: Batch) -> Losses:
        """`ce`, and :meth:`terms` of the student's and the teacher's pass, both in float32.

        Raises:
            TypeError: where the batch carries no teacher's pass.
        """
        student = self.passed(batch.images).float()
        ce = batch.ce(student.logits)
        return Losses(student.logits, {"ce": ce, **self.terms(student, batch.need_teacher().float(), batch)})


_compiled_last: list[object] = []


def _forget_others(method: Distiller, *how: object) -> None:
    """Forget what was compiled in this process for another method, for a student of other layers, or another way: torch
    would stop to compile at some number of them. What was compiled for one like this is used again."""
    layers = [(name, tuple(weight.shape)) for name, weight in method.student.named_parameters()]
    like = [type(method), layers, *how]
    if _compiled_last and _compiled_last != like:
        compiled_forgotten()
    _compiled_last[:] = like


_seen: WeakKeyDictionary[Network, dict[tuple[int, int], Features]] = WeakKeyDictionary()


def shapes(network: Network, image_size: tuple[int, int]) -> Features:
    """A pass over one blank image, in evaluation mode: what connectors between two networks are sized by.

    Remembered for each network, so its numbers mean nothing. Raises RuntimeError where the image is too small.
    """
    seen = _seen.setdefault(network, {})
    if image_size not in seen:
        seen[image_size] = _blank_pass(network, image_size)
    return seen[image_size]


@torch.no_grad()
def _blank_pass(network: Network, image_size: tuple[int, int]) -> Features:
    training = network.training
    place = next(network.parameters()).device
    try:
        return network.eval().features(torch.zeros(1, 3, *image_size, device=place))
    finally:
        network.train(training)


def ramp(epoch: int, epochs: int) -> float:
    """Factor of a weight that rises linearly over its first `epochs` epochs, 1 from there on; 0 epochs: no ramp."""
    return min(epoch / epochs, 1.0) if epochs > 0 else 1.0
