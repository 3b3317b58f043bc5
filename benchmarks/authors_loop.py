"""The opponent: DHKD's training script as its authors' release runs it, re-created in our own words, on this machine.

    uv run python -m benchmarks.authors_loop --pair "resnet56 -> resnet20" --alpha 1 [--align] [--data FOLDER]

What a step of github.com/penghui-yang/DHKD does (a descendant of RepDistiller), and so does this one:

1. images are cut, mirrored, converted and normalised one by one, from Pillow images in the process that trains;
2. the student runs in training mode with two heads on its pooled feature, and the teacher, live, in evaluation mode
   without gradients; both in float32, channels first;
3. loss = CE + alpha * BinaryKL-Norm, whose sigmoid is clamped to [1e-8, 1 - 1e-8] (:mod:`trainers.distillers.dhkd`);
4. loss, top-1 and top-5 accuracy are read off the device in every step;
5. one backward pass; or, with gradient alignment, one for each loss, whose gradients are copied into vectors of all
   parameters, projected, added and cut up again;
6. torch's SGD as it is by default. After each epoch the test set runs through, in batches of 32.

The networks are this project's, which compute the authors' logits (``tests/trainers/models/test_zoo.py``); so the
comparison is of the loops. Not re-created: reading options, logging to files, writing checkpoints, all of which take no
measurable time.

How it was checked. ``tests/benchmarks/test_authors_loop.py``: its loss is the authors' own number, and two steps from
the same start on the same batch end at our trainer's weights, with alignment and without. Against the release itself,
on a 2-core Xeon with AMX at one thread: of its 534 ms a step of resnet56 → resnet20, 13 were data, 99 and 215 the
student's and the teacher's forward pass, 173 the backward pass, 1.2 loss and metrics, 2 the optimiser. ``--parts``
prints the same parts of this loop.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks import trials
from benchmarks.common import CPU, print_notes
from benchmarks.gradient_alignment import flat_aligned
from benchmarks.trials import Pair
from trainers.data import ImageData, Images
from trainers.fit import seeded_model
from trainers.models import Network, auxiliary_head
from trainers.rehearsal import stand_in
from trainers.teacher.pretrained import read

if TYPE_CHECKING:
    from torchvision import transforms

PADDING = 4
CLAMP = 1e-8
TEST_BATCH = 32
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4


@dataclass(frozen=True)
class Options:
    """What the script is told on its command line."""

    alpha: float = 1.0
    temperature: float = 2.0
    align: bool = False
    lr: float = trials.LR


@dataclass
class Seen:
    """What an epoch came to."""

    loss: float
    """Mean over its steps."""
    top1: float
    top5: float
    seconds: float
    """Wall time, data included."""
    steps: int


class Pictures(Dataset[tuple[Tensor, int]]):
    """A split that gives one transformed Pillow image at a time."""

    def __init__(self, split: Images, transform: transforms.Compose) -> None:
        (held,) = split.batches([torch.arange(len(split))])
        self.pixels = held.images.permute(0, 2, 3, 1).contiguous().numpy()  # uint8 [N, H, W, 3]
        self.labels: list[int] = held.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[position])), self.labels[position]


@dataclass
class Parts:
    """Seconds of each part of the steps so far."""

    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.spent[name] += time.perf_counter() - started


class AuthorsLoop:
    """Trains one student.

    Args:
        student: initialised; trained in place.
        head: the auxiliary head, likewise.
        teacher: trained.
        data: images of one size.
        options: of the loss and the optimiser.
    """

    def __init__(self, student: Network, head: nn.Module, teacher: Network, data: ImageData, options: Options) -> None:
        from torchvision import transforms  # takes seconds, and what else is here needs none of it

        self.student, self.head, self.teacher, self.options = student, head, teacher.eval(), options
        self.parameters = [*student.parameters(), *head.parameters()]
        self.device = self.parameters[0].device
        self.optimizer = torch.optim.SGD(self.parameters, lr=options.lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        plain = [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
        side = data.image_size[0]
        views = [transforms.RandomCrop(side, padding=PADDING), transforms.RandomHorizontalFlip(), *plain]
        self.train_set = Pictures(data.train, transforms.Compose(views))
        self.test_set = Pictures(data.test, transforms.Compose(plain))
        self.parts = Parts()

    def train(self) -> Seen:
        """One epoch."""
        self.student.train()
        self.head.train()
        loader = DataLoader(self.train_set, trials.BATCH, shuffle=True, num_workers=0)
        sums = np.zeros(3)
        started = time.perf_counter()
        batches = iter(loader)
        for _ in range(len(loader)):
            with self.parts.of("data"):
                images, targets = self.moved(next(batches))
            sums += self.step(images, targets)
        loss, top1, top5 = sums / len(loader)
        return Seen(loss, top1, top5, time.perf_counter() - started, len(loader))

    def step(self, images: Tensor, targets: Tensor) -> tuple[float, float, float]:
        """One step on views ``[B, 3, H, W]``; its loss, and top-1 and top-5 accuracy in percent."""
        with self.parts.of("student forward"):
            passed = self.student.features(images)
            aux = self.head(passed.pooled)
        with self.parts.of("teacher forward"), torch.no_grad():
            teacher = self.teacher(images)
        with self.parts.of("loss"):
            ce = F.cross_entropy(passed.logits, targets)
            distilled = clamped_binary_kl_norm(aux, teacher, self.options.temperature)
            loss = ce + self.options.alpha * distilled
        with self.parts.of("metrics"):
            top1, top5 = (hits.item() for hits in top_percent(passed.logits, targets))
            seen = loss.item(), top1, top5
        with self.parts.of("backward"):
            if self.options.align:
                flat_aligned([ce, self.options.alpha * distilled], self.parameters)
            else:
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
        with self.parts.of("optimiser"):
            self.optimizer.step()
        return seen

    def moved(self, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Images and labels on the device."""
        images, targets = batch
        return images.to(self.device), targets.to(self.device)

    @torch.no_grad()
    def test(self) -> Seen:
        """The test set, once."""
        self.student.eval()
        loader = DataLoader(self.test_set, TEST_BATCH, num_workers=0)
        sums = np.zeros(3)
        started = time.perf_counter()
        for images, targets in map(self.moved, loader):
            logits = self.student(images)
            top1, top5 = (hits.item() for hits in top_percent(logits, targets))
            sums += (F.cross_entropy(logits, targets).item(), top1, top5)
        loss, top1, top5 = sums / len(loader)
        return Seen(loss, top1, top5, time.perf_counter() - started, len(loader))


def clamped_binary_kl_norm(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """BinaryKL-Norm of ``[B, C]`` as the release computes it, in the logits' precision."""
    yes = torch.sigmoid((logits - teacher) / temperature).clamp(CLAMP, 1 - CLAMP)
    divergence = 0.5 * torch.log(0.5 / yes) + 0.5 * torch.log(0.5 / (1 - yes))
    return divergence.sum(dim=1).mean() * temperature**2


def top_percent(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Top-1 and top-5 accuracy of ``[B, C]`` in percent, as scalars on the device."""
    order = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = order.eq(targets[:, None]).float() * (100 / len(targets))
    return hits[:, 0].sum(), hits.sum()


def opponent(
    pair: Pair, data: ImageData, teacher: Network, options: Options, device: torch.device = CPU
) -> AuthorsLoop:
    """The loop around a fresh student, in channels-first memory; the teacher is put on its device."""
    student = seeded_model(pair.student, data.num_classes, seed=0).to(device)
    head = auxiliary_head(trials.HEAD, student.feature_dim, data.num_classes).to(device)
    return AuthorsLoop(student, head, teacher.to(device), data, options)


# -- the script -------------------------------------------------------------------------------------------------------


def main() -> None:
    """Train one student and print a line an epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Pair.parse, default=trials.SMALL)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--align", action="store_true")
    parser.add_argument("--teacher", type=Path, help="its checkpoint; default: an untrained one")
    parser.add_argument("--data", type=Path, help="folder of Parquet files; default: random pixels")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--train", type=int, default=1280, help="training images (1280)")
    parser.add_argument("--test", type=int, default=256, help="test images (256)")
    parser.add_argument("--threads", type=int, help="default: as torch finds them")
    parser.add_argument("--parts", action="store_true", help="print milliseconds of each part of a step")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        data = trials.image_data(options.data, options.train, options.test, Path(scratch))
        trained = read(options.teacher, options.pair.teacher).network() if options.teacher else None
        teacher = trained or stand_in(options.pair.teacher, data)
        loop = opponent(options.pair, data, teacher, Options(alpha=options.alpha, align=options.align))
        for epoch in range(1, options.epochs + 1):
            seen, tested = loop.train(), loop.test()
            print(
                f"epoch {epoch}: loss {seen.loss:.3f}, test accuracy {tested.top1:.2f} %,"
                f" {1000 * seen.seconds / seen.steps:.0f} ms a step, test {tested.seconds:.1f} s"
            )
    if options.parts:
        steps = options.epochs * -(-options.train // trials.BATCH)
        print_notes({name: f"{1000 * spent / steps:.1f} ms" for name, spent in loop.parts.spent.items()})


if __name__ == "__main__":
    main()
