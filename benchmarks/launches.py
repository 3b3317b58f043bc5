"""How many kernels a training step asks a GPU for, and how often the host waits for it: exact counts, made on the CPU.

    uv run python -m benchmarks.launches [kd dhkd …] [--operations] [--compiled]

At batch 64 a GPU computes a step of a small student in less time than the host takes to ask for it, so that what a step
costs is what it asks for. Counted is :func:`trainers.fit.fit` itself, with a warm bank: an epoch of three steps less
one of two is a step, without anything that a trial or an epoch costs once. Counts do not depend on the machine,
nor on the number of classes, images and pixels, which are small here.

A call of ATen that is no view of what is there is a kernel, a convolution's backward two. cuDNN may add transposes, and
a sort takes several, so the count is a floor. A wait is a call that brings numbers to the host, sizes its result by
them, or makes a tensor of numbers of the host's; moves from one device to another are not seen here.

With `--compiled` it is what a step asks for outside its compiled graphs, and how many of these it runs. The graphs are
those that torch hands to a compiler, which is left out, so that no C++ compiler is needed; waits are not counted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.data.base import ImageData, Split
from trainers.distillers import METHODS, Batch, base
from trainers.fit import fit, seeded_model
from trainers.loop import gradient_alignment, weighing
from trainers.models import Network
from trainers.models.batch_counts import count_on_host
from trainers.teaching import chunks
from trainers.teaching.logit_bank import LogitBank
from trainers.training import Training

TEACHER, STUDENT = "resnet32x4", "resnet8x4"
CLASSES = 10
BATCH = 64
"""Images of a step, for its part of a chunk."""
VIEWS = """
detach alias view _unsafe_view expand t transpose permute slice select unsqueeze squeeze split split_with_sizes unbind
as_strided _reshape_alias empty empty_like empty_strided new_empty new_empty_strided lift_fresh _local_scalar_dense
resize_ set_ diagonal is_same_size unfold squeeze_ unsqueeze_ transpose_ t_ _record_function_enter_new
_record_function_exit
"""
"""Calls of ATen that start no kernel."""
TWICE = "convolution_backward"
"""A call that starts two: the gradient of the images, and that of the weights."""
WAITING = "item tolist __bool__ __int__ __float__ __index__ cpu equal allclose nonzero masked_select bincount unique"
"""Calls that bring numbers to the host, or size their result by them."""
MADE_OF_NUMBERS = "tensor as_tensor"
"""Calls that make a tensor of numbers of the host's, on a device."""
_hosted: list[Tensor] = []
"""What lies in the host's memory, though all else is on a GPU."""
_views, _waiting, _made = (frozenset(names.split()) for names in (VIEWS, WAITING, MADE_OF_NUMBERS))


class Count(NamedTuple):
    """What some code asks a GPU for."""

    launches: Counter[str]
    """Kernels, by ATen's name of the call."""
    waits: Counter[str]
    """Calls that the host waits for, by torch's name."""


class _Launches(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler, ten seconds, to keep it out of here

    def __init__(self, counted: Counter[str]) -> None:
        super().__init__()
        self.counted = counted

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.__name__.partition(".")[0]
        if name not in _views and not (args and any(args[0] is each for each in _hosted)):
            self.counted[name] += 2 if name == TWICE else 1
        return func(*args, **(kwargs or {}))


class _Waits(TorchFunctionMode):
    def __init__(self, counted: Counter[str]) -> None:
        super().__init__()
        self.counted = counted

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        made = name in _made and (kwargs or {}).get("device") is not None
        self.counted[name] += name in _waiting or made or _masked(name, args)
        return func(*args, **(kwargs or {}))


def _masked(name: str, args: Sequence[Any]) -> bool:
    """Whether a tensor is indexed by a mask, which sizes the result."""
    chosen = args[1] if len(args) > 1 and isinstance(args[1], tuple) else args[1:2]
    return name == "__getitem__" and any(isinstance(part, Tensor) and part.dtype == torch.bool for part in chosen)


@contextmanager
def counted() -> Iterator[Count]:
    """Count what is called inside."""
    count = Count(Counter(), Counter())
    with _Launches(count.launches), _Waits(count.waits):
        yield count


@dataclass(frozen=True)
class Case:
    """A method as it is measured."""

    method: str
    params: Mapping[str, Any]
    recipe: Mapping[str, Any]
    batch: int
    """Images of a step."""
    side: int
    """Of an image, in pixels."""

    @property
    def listens(self) -> bool:
        """Whether it has a teacher."""
        return METHODS[self.method].teacher_needs != "nothing"

    def config(self, data: ImageData) -> TrialConfig:
        """The trial of one epoch."""
        return TrialConfig(
            dataset=DatasetConfig(name="noise", content=data.content),
            model=STUDENT,
            teacher=TeacherConfig(architecture=TEACHER, hash="0" * 16) if self.listens else None,
            method=MethodConfig(name=self.method, params=dict(self.params)),
            recipe=Recipe(
                **{"epochs": 1, "batch_size": self.batch, "schedule": "constant", "val_fraction": 0} | dict(self.recipe)
            ),
        )


def case(method: str, recipe: Mapping[str, Any] = {}, *, batch: int = 16, side: int = 8, **params: Any) -> Case:
    """A method with some hyperparameters, and a recipe with some fields other than usual."""
    return Case(method, params, recipe, batch, side)


class Step(NamedTuple):
    """What a step asks for."""

    count: Count
    """Beside what prepares its chunk."""
    launches: float
    """With its part of that."""


def step(asked: Case, teacher: Network) -> Step:
    """What one step asks for: an epoch of three less one of two, with everything in one chunk and a chunk a step."""
    with chunks_of(chunks.CHUNK_IMAGES):
        within = _difference(asked, teacher)
    with chunks_of(1):
        alone = _difference(asked, teacher)
    preparing = alone.launches.total() - within.launches.total()
    return Step(within, within.launches.total() + preparing * BATCH / chunks.CHUNK_IMAGES)


def _difference(asked: Case, teacher: Network) -> Count:
    two, three = (epoch(asked, steps, teacher) for steps in (2, 3))
    three.launches.subtract(two.launches)
    three.waits.subtract(two.waits)
    return three


def epoch(asked: Case, steps: int, teacher: Network) -> Count:
    """What a trial of one epoch of `steps` steps asks for, with a bank that has all its logits."""
    data = noise(steps * asked.batch, asked.side)
    given = teacher if asked.listens else None
    with tempfile.TemporaryDirectory() as folder:
        bank = LogitBank(Path(folder))
        for _ in fit(asked.config(data), data=data, teacher=given, bank=bank):
            pass  # fills the bank
        with counted() as count, as_on_a_gpu():
            next(fit(asked.config(data), data=data, teacher=given, bank=bank))
    return count


class Outside(NamedTuple):
    """What a compiled step asks for."""

    launches: Counter[str]
    """Kernels outside of its graphs, by ATen's name of the call, beside what prepares its chunk."""
    graphs: int
    """Graphs that it runs."""


def outside(asked: Case, teacher: Network) -> Outside:
    """What one step asks for outside its compiled graphs: the last of a second epoch."""
    asked = replace(asked, recipe={**asked.recipe, "epochs": 2, "compile": True})
    data = noise(2 * asked.batch, asked.side)
    with handed_over() as ran, as_on_a_gpu(), steps_counted(ran) as steps:
        for _ in fit(asked.config(data), data=data, teacher=teacher if asked.listens else None):
            pass
    return steps[-1]


@contextmanager
def steps_counted(ran: list[None]) -> Iterator[list[Outside]]:
    """Count what each step asks for, without what prepares its batch."""
    steps: list[Outside] = []
    plain = Training.step

    def step(self: Training, batch: Batch) -> None:
        before, launches = len(ran), Counter[str]()
        with _Launches(launches) if self.done else nullcontext():  # nothing can be compiled in there
            plain(self, batch)
        steps.append(Outside(launches, len(ran) - before))

    with patch.object(Training, "step", step):
        yield steps


@contextmanager
def handed_over() -> Iterator[list[None]]:
    """Have graphs run as torch hands them to its compiler, unseen; as many entries as have run."""
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.aot_autograd import make_boxed_func

    ran: list[None] = []

    def compiler(graph: torch.fx.GraphModule, inputs: object) -> Any:
        def run(*args: Any) -> Any:
            ran.append(None)
            with _disable_current_modes():
                return graph(*args)

        return make_boxed_func(run)

    plain, backend = torch.compile, aot_autograd(fw_compiler=compiler)

    def compiled(what: Callable[..., Any], **how: object) -> Callable[..., Any]:
        given = plain(what, backend=backend, dynamic=False)

        def called(*args: Any) -> Any:
            with _disable_current_modes():  # among which torch would compile nothing
                return given(*args)

        return called

    with patch.object(torch, "compile", compiled):
        yield ran


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Have gradients start where they do on a GPU, and no call counted on what the host keeps to itself there."""
    _hosted.clear()
    noted = patch.object(base, "count_on_host", lambda network: _hosted.extend(count_on_host(network)))
    with ExitStack() as patches:
        patches.enter_context(noted)
        for where, name in ((weighing, "SUMMED_ON"), (gradient_alignment, "APART_ON")):
            patches.enter_context(patch.object(where, name, "no device"))
        patches.enter_context(patch.object(base, "REPLAYED_ON", "cpu"))
        yield


@contextmanager
def chunks_of(images: int) -> Iterator[None]:
    """Have so many images prepared together on the CPU; 1: each batch by itself."""
    usual, chunks.CHUNK_IMAGES_CPU = chunks.CHUNK_IMAGES_CPU, images
    try:
        yield
    finally:
        chunks.CHUNK_IMAGES_CPU = usual


def noise(images: int, side: int) -> ImageData:
    """Random images of :data:`CLASSES` classes, and two to test on."""
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images + 2, 3, side, side), generator=draws, dtype=torch.uint8)
    split = Split(pixels, torch.arange(images + 2) % CLASSES, torch.arange(images + 2))
    train, test = split.take(torch.arange(images)), split.take(torch.arange(images, images + 2))
    return ImageData("noise", train, test, tuple(map(str, range(CLASSES))), (0.5,) * 3, (0.25,) * 3)


def taught_by(architecture: str = TEACHER) -> Network:
    """The teacher, untrained: counts do not depend on what it says, and those of a warm bank not on who it is."""
    return seeded_model(architecture, CLASSES, seed=9).eval()


def cases() -> dict[str, Case]:
    """Every method as it comes, and some more."""
    own = {name: case(name) for name in METHODS}
    return own | {
        "dhkd nonlinear": case("dhkd", head="nonlinear"),
        "dhkd aligned": case("dhkd", head="nonlinear", align=True),
        "scratch, autoaugment": case("scratch", {"views": "autoaugment"}),
    }


def main() -> None:
    """Print a row for each case: launches and waits of a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(cases())}")
    parser.add_argument(
        "--compiled", action="store_true", help="count what a compiled step asks for outside its graphs"
    )
    parser.add_argument("--operations", action="store_true", help="print the most frequent calls as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    teacher = taught_by()
    if options.compiled:
        _print_outside(options.names or cases(), teacher, options.operations)
        return
    print(f"{TEACHER} → {STUDENT}, a step\n\n| method | launches | with its part of a chunk | waits |")
    print("|---|---:|---:|---:|")
    for name in options.names or cases():
        found = step(cases()[name], teacher)
        launches, waits = found.count.launches, found.count.waits
        print(f"| {name} | {launches.total():,} | {found.launches:,.0f} | {waits.total()} |", flush=True)
        if options.operations:
            print(dict(launches.most_common(40)), dict(+waits))


def _print_outside(names: Iterable[str], teacher: Network, operations: bool) -> None:
    print(
        f"{TEACHER} → {STUDENT}, a compiled step\n\n| method | launches outside its graphs | graphs |\n|---|---:|---:|"
    )
    for name in names:
        found = outside(cases()[name], teacher)
        print(f"| {name} | {found.launches.total():,} | {found.graphs} |", flush=True)
        if operations:
            print(dict(found.launches))


if __name__ == "__main__":
    main()
