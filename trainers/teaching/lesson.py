"""What the teacher says of the views of a step: a pass of its own, or its logits, looked up.

Methods that read the teacher's logits alone get them from a table that is made before each epoch: of all views that the
epoch will see, from the logit bank as far as it holds them (:mod:`trainers.teaching.logit_bank`), the rest computed.
The numbers are those of the bank in any case, rounded as the recipe says, whether one is there, is warm, cold or full:
on the CPU an image's logits are computed by one thread, in passes of always the same number of images, and do not
depend on who else is in the pass. Methods that read the teacher's maps, recipes that mix images with one another, and
data sets that are decoded batch by batch, run the teacher on each batch.

Shapes: `B` batch, `n` images of several, `N` training images, `C` classes, `H`, `W` pixels.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainers.config import TrialConfig
from trainers.data.base import Framing, ImageData, Images
from trainers.distillers import METHODS, View
from trainers.models import Features, Network
from trainers.storage.content import tensors_key
from trainers.teaching.bank_part import Looked
from trainers.teaching.folding import folded
from trainers.teaching.logit_bank import DTYPES, LogitBank, Shelf, Work
from trainers.views.views import Views

PASS_IMAGES = 128
"""Images of each pass that fills a table, on a CPU."""
PASS_IMAGES_GPU = 1024
"""The same elsewhere."""


class Teaching(ABC):
    """What the teacher says of each step's views."""

    images = 0
    """Images that the teacher itself was run on, since :meth:`begin`."""

    def begin(self, epoch: int) -> None:
        """Get ready for an epoch, counted from 1."""
        self.images = 0

    @abstractmethod
    def view(self, images: Tensor, index: Tensor, sizes: Sequence[int]) -> Iterator[View]:
        """The training views ``[n, 3, H, W]`` of images `index` (int64 ``[n]``), with what the teacher makes of them,
        cut into batches of `sizes` images."""

    @abstractmethod
    def strong(self, images: Tensor, index: Tensor, sizes: Sequence[int]) -> Iterator[View]:
        """The same of the strong views."""


class NoTeacher(Teaching):
    """For `scratch`."""

    def view(self, images: Tensor, index: Tensor, sizes: Sequence[int]) -> Iterator[View]:
        """The images ``[n, 3, H, W]`` alone, cut into batches."""
        return map(View, torch.split(images, list(sizes)))

    strong = view


class LiveTeacher(Teaching):
    """A pass over each batch, with all that feature methods read."""

    def __init__(self, teacher: Network, autocast: torch.autocast) -> None:
        self._teacher = teacher
        self._autocast = autocast

    def view(self, images: Tensor, index: Tensor, sizes: Sequence[int]) -> Iterator[View]:
        """Each batch of the images ``[n, 3, H, W]``, when it is asked for, with the teacher's whole pass over it,
        logits and maps, without gradient."""
        return map(self._passed, torch.split(images, list(sizes)))

    strong = view

    @torch.no_grad()
    def _passed(self, images: Tensor) -> View:
        self.images += len(images)
        with self._autocast:
            return View(images, self._teacher.features(images))


def rounded(network: Network, dtype: torch.dtype) -> Network:
    """A copy whose weights of convolutions and linear layers are what autocast would make of them in every pass; all
    else stays as it is, and the passes need autocast as before."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        if type(module) in (nn.Conv2d, nn.Linear):  # not a class of somebody's that computes with its weights first
            module.to(dtype)
    return copied


@dataclass(frozen=True)
class Lesson:
    """What is taught: everything that decides the teacher's logits, and where images and teacher come from."""

    config: TrialConfig
    data: ImageData
    train: Images
    views: Views
    device: torch.device
    teacher: Callable[[], Network]
    """Called when the teacher is first needed."""

    @property
    def bf16(self) -> bool:
        """Whether the teacher's passes are in bfloat16."""
        return self.config.recipe.precision == "bf16"

    @property
    def pass_images(self) -> int:
        """Images of each pass that fills a table."""
        return PASS_IMAGES if self.device.type == "cpu" else PASS_IMAGES_GPU

    @property
    def work(self) -> Work:
        """Images that are best computed in one call: two passes for each thread."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        return Work(2 * threads * self.pass_images, self.pass_images)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What decides the logits of a view, as JSON."""
        taught_by = self.config.teacher.hash if self.config.teacher else tensors_key(self.teacher().state_dict())
        by_gpu = {} if self.device.type == "cpu" or self.bf16 else {"tf32": self.config.recipe.tf32}
        return by_gpu | {
            "teacher": taught_by,
            "data": self.data.content,
            "precision": self.config.recipe.precision,
            "device": self.device.type,
            "pass_images": self.pass_images,
        }

    @cached_property
    def live(self) -> Network:
        """The teacher on the training device. The one that is given stays where it is, since other trials of this
        process are given it too: a GPU would fill with teachers, and the next method would find its own elsewhere."""
        return _on(self.teacher(), self.device)

    @cached_property
    def network(self) -> Network:
        """The teacher as it computes logits: batch norms folded, channels last."""
        teacher = _on(self.teacher(), self.device)
        network = folded(teacher, self.train.image_size).to(memory_format=torch.channels_last)
        return network.to(torch.bfloat16) if self.bf16 else network

    def seen(self, positions: Tensor, epoch: int, strong: bool) -> Tensor:
        """The views ``[B, 3, H, W]`` that training images at `positions` (int64 ``[B]``) have in `epoch`."""
        seed = self.config.seed
        framing = Framing(seed, epoch, self.config.recipe.flip)
        part = next(iter(self.train.batches([positions.to(self.device)], framing)))
        make = self.views.strong if strong else self.views.training
        return make(part.images, part.index, seed, epoch)


def _on(network: Network, device: torch.device) -> Network:
    """The network where it is there already, else a copy."""
    return network if next(network.parameters()).device == device else copy.deepcopy(network).to(device)


class Asked(NamedTuple):
    """What is asked of the bank for an epoch."""

    shelf: Shelf
    address: Tensor
    """int64 ``[N]``, on the CPU."""


class BankedTeacher(Teaching):
    """Logits alone, from a table of the whole epoch."""

    def __init__(self, lesson: Lesson, bank: LogitBank | None, *, strong: bool) -> None:
        self._lesson = lesson
        self._bank = bank
        self._kinds = (False, True) if strong else (False,)
        self._tables: dict[bool, Tensor] = {}
        self._looked: dict[tuple[bool, int], Future[tuple[Asked, Looked]]] = {}

    def begin(self, epoch: int) -> None:
        """Make the table of the epoch's logits, one for each kind of view, on the training device; then, for a GPU,
        read what the bank has of the next epoch's in a thread."""
        super().begin(epoch)
        self._tables = {strong: self._table(strong, epoch).to(self._lesson.device) for strong in self._kinds}
        self._looked.clear()
        if self._lesson.device.type != "cpu" and epoch < self._lesson.config.recipe.epochs:
            self._look_ahead(epoch + 1)

    def _look_ahead(self, epoch: int) -> None:
        bank = self._bank
        if bank is None:
            return

        def look(strong: bool) -> tuple[Asked, Looked]:
            asked = self._asked(bank, strong, epoch)
            return asked, asked.shelf.look(asked.address)

        pool = ThreadPoolExecutor(1, "bank")
        for strong in self._kinds:
            self._looked[strong, epoch] = pool.submit(look, strong)
        pool.shutdown(wait=False)

    def view(self, images: Tensor, index: Tensor, sizes: Sequence[int]) -> Iterator[View]:
        """Batches of the images ``[n, 3, H, W]`` with the logits ``[B, C]`` of their training views, float32, out of
        the table."""
        return self._told(False, images, index, list(sizes))

    def strong(self, images: Tensor, index: Tensor, sizes: Sequence[int]) -> Iterator[View]:
        """Batches of the images ``[n, 3, H, W]`` with the logits ``[B, C]`` of their strong views, float32, out of the
        table."""
        return self._told(True, images, index, list(sizes))

    def _told(self, strong: bool, images: Tensor, index: Tensor, sizes: list[int]) -> Iterator[View]:
        """Looked up once for all batches."""
        rows = torch.searchsorted(self._lesson.train.index, index)
        logits = self._tables[strong][rows].float()
        return map(View, torch.split(images, sizes), map(Features.of_logits, torch.split(logits, sizes)))

    def _table(self, strong: bool, epoch: int) -> Tensor:
        """The logits ``[N, C]`` of the views of an epoch, in the order of `train`, rounded."""
        lesson = self._lesson
        dtype = DTYPES[lesson.config.recipe.teacher_logits]

        def compute(positions: Tensor) -> Tensor:
            self.images += len(positions)
            return _logits(lesson, positions, epoch, strong)

        if self._bank is None:
            return compute(torch.arange(len(lesson.train))).to(dtype)
        ahead = self._looked.get((strong, epoch))
        asked, looked = ahead.result() if ahead is not None else (self._asked(self._bank, strong, epoch), None)
        return asked.shelf.table(asked.address, compute, lesson.work, looked)

    def _asked(self, bank: LogitBank, strong: bool, epoch: int) -> Asked:
        """Where the bank has the views of an epoch; nothing is asked of a GPU, which another thread may be using."""
        lesson, index, seed = self._lesson, self._index, self._lesson.config.seed
        views = None if strong else lesson.views.count
        if views is not None:
            address = index * views + lesson.views.number(index, seed, epoch)
            about = lesson.about | {"family": lesson.views.family}
        else:
            address = index
            family = lesson.views.strong_family if strong else lesson.views.family
            about = lesson.about | {"family": family, "seed": seed, "epoch": epoch}
        dtype = DTYPES[lesson.config.recipe.teacher_logits]
        return Asked(bank.shelf(about, views=views or 1, classes=lesson.data.num_classes, dtype=dtype), address)

    @cached_property
    def _index(self) -> Tensor:
        """Of the training images, int64 ``[N]``, on the CPU."""
        return self._lesson.train.index.cpu()


def _logits(lesson: Lesson, positions: Tensor, epoch: int, strong: bool) -> Tensor:
    """The teacher's logits, float32 ``[B, C]`` on the CPU, of the views of training images at `positions`.

    Every pass has the same number of images (the last one is filled up), and one thread: so the numbers of an image
    are the same in any company.
    """
    size = lesson.pass_images
    missing = -len(positions) % size
    filled = torch.cat([positions, positions[-1:].expand(missing)])
    network = lesson.network  # made here, not by several threads at once

    @torch.inference_mode()
    def passed(part: Tensor) -> Tensor:
        images = lesson.seen(part, epoch, strong)
        logits: Tensor = network(images.to(torch.bfloat16) if lesson.bf16 else images)
        return logits.float().cpu()

    with _single_threads(lesson.device) as pool:
        parts = filled.tensor_split(len(filled) // size)
        return torch.cat(list(pool.map(passed, parts)))[: len(positions)].clone()


@contextmanager
def _single_threads(device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch uses here, each of which computes alone; one, for a GPU."""
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def teaching(lesson: Lesson | None, bank: LogitBank | None, autocast: torch.autocast, *, strong: bool) -> Teaching:
    """How a trial is taught.

    Args:
        lesson: None without a teacher.
        bank: None computes every epoch's logits anew.
        autocast: the precision of a live teacher's passes.
        strong: whether the method sees the strong view as well.
    """
    if lesson is None:
        return NoTeacher()
    needs, recipe = METHODS[lesson.config.method.name].teacher_needs, lesson.config.recipe
    if needs == "features" or not lesson.train.at_hand or recipe.mixes:
        network = rounded(lesson.live, torch.bfloat16) if lesson.bf16 else lesson.live
        return LiveTeacher(network.to(memory_format=torch.channels_last), autocast)
    return BankedTeacher(lesson, bank, strong=strong)
