"""A GPU that is pretended: numbers in the CPU's memory, in tensors that say they are on `cuda`.

Within ``with pretended() as gpu:`` each call of torch in this thread, and in pools of threads, goes through a
`TorchFunctionMode`. What a call puts on "cuda" is remembered by its storage, so views, parameters and ``.data`` follow
by themselves. A call raises :class:`DeviceMixedError` where CUDA would refuse its tensors, and `gpu.waits` has what
makes the host wait for the device. Since the numbers are the CPU's, a whole training runs as it is and must say what it
says on the CPU.

It does not see what happens inside one call of C++ (autograd's backward pass, a fused optimiser), CUDA's kernels and
their rounding, memory, streams, and `torch.compile`. Torch's fake tensors cannot do this: autograd's engine asks CUDA
for a context, and ``item()`` has no number to give.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from trainers.code import settings_kept

CPU = torch.device("cpu")
TO_THE_HOST = frozenset({"item", "tolist", "cpu", "equal", "allclose", "__repr__", "__format__"}) | {
    f"__{kind}__" for kind in ("bool", "int", "float", "index", "contains")
}
SIZED_BY_NUMBERS = frozenset({"nonzero", "argwhere", "masked_select", "bincount", "unique", "unique_consecutive"})
WAITING = TO_THE_HOST | SIZED_BY_NUMBERS
"""Calls that wait for the GPU: they bring numbers to the host, or size their result by them."""
TWO_PLACES = frozenset({"copy_", "to", "__set__", "type_as", "_has_compatible_shallow_copy_type"})
"""Calls that take tensors of two devices."""
TOGETHER = frozenset({"stack", "cat"})
"""Calls that take no number on the host either; others do."""
STEP = "_fused_sgd_"
"""The call that ends a step of training."""
HELD_AT_MOST = 20_000
"""Storages before those that are gone are forgotten."""
_thread = threading.local()


class DeviceMixedError(RuntimeError):
    """What CUDA would refuse: torch's 'Expected all tensors to be on the same device', and numpy on a GPU."""


class Wait(NamedTuple):
    """Something that the host waited for."""

    call: str
    """Of torch."""
    line: str
    """Where it stands: ``trainers/fit.py:160``, the first line outside torch."""
    steps: int
    """Steps of training before it."""


class PretendedGPU(TorchFunctionMode):
    """A context in which `cuda` is a device, in the thread that enters it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Wait] = []
        self.steps = 0
        self._held: dict[int, tuple[torch.device, StorageWeakRef]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """A call of torch, made on the CPU. Raises DeviceMixedError."""
        name, kwargs = getattr(func, "__name__", ""), dict(kwargs or {})
        asked = getattr(func, "__self__", None)
        if name == "__get__" and asked in _ABOUT_PLACE:
            return _ABOUT_PLACE[asked](self.where(args[0]))
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        own = self._place_of(name, tensors)
        wanted, args, kwargs = self._wanted(name, args, kwargs)
        self._note(name, own, wanted, tensors, bool(kwargs.get("non_blocking")))
        result = func(*args, **kwargs)
        place = wanted or own
        if place != own and isinstance(result, Tensor) and any(_same(result, tensor) for tensor in tensors):
            result = result.clone()  # the CPU has given the very memory back that is on the other device
        if place != CPU and name not in TWO_PLACES - {"to", "type_as"}:
            self._hold(result, place)
        return result

    def where(self, tensor: Tensor) -> torch.device:
        """The device of a tensor."""
        held = self._held.get(tensor.untyped_storage()._cdata)
        return CPU if held is None else held[0]

    def _hold(self, result: Any, place: torch.device) -> None:
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                kept = StorageWeakRef(storage)  # type: ignore[no-untyped-call]  # which keeps the address from others
                self._held[storage._cdata] = (place, kept)
        if len(self._held) > HELD_AT_MOST:
            held = self._held.items()
            self._held = {key: one for key, one in held if not one[1].expired()}  # type: ignore[no-untyped-call]

    def _place_of(self, name: str, tensors: list[Tensor]) -> torch.device:
        """Where a call with these tensors runs; raises DeviceMixedError."""
        places = [self.where(tensor) for tensor in tensors]
        gpus = {place for place in places if place != CPU}
        if not gpus:
            return CPU
        hosted = [tensor for tensor, place in zip(tensors, places, strict=True) if place == CPU]
        indexes = name in ("__getitem__", "__setitem__") and places[0] != CPU
        numbers = name not in TOGETHER and all(tensor.dim() == 0 for tensor in hosted)
        changes = name.endswith("_") and not name.endswith("__")
        fine = name in TWO_PLACES or indexes or (numbers and not (changes and places[0] == CPU))
        if len(gpus) > 1 or (hosted and not fine):
            what = ", ".join(f"{tuple(t.shape)} on {place}" for t, place in zip(tensors, places, strict=True))
            raise DeviceMixedError(f"{name} takes tensors of one device, not {what}")
        return CPU if name in TWO_PLACES and places[0] == CPU else next(iter(gpus))

    def _wanted(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[torch.device | None, Sequence[Any], dict[str, Any]]:
        """The device that a call asks for, and the call for the CPU instead."""
        if name == "cpu":
            return CPU, args, kwargs
        if name == "cuda":
            return numbered(args[1] if len(args) > 1 else kwargs.get("device") or "cuda"), (args[0], CPU), {}
        if name in ("to", "type_as") and len(args) > 1 and isinstance(args[1], Tensor):
            return self.where(args[1]), args, kwargs
        if name == "to" and len(args) > 1 and isinstance(args[1], str | int | torch.device):
            return numbered(args[1]), (args[0], CPU, *args[2:]), kwargs
        device = kwargs.get("device")
        return (None, args, kwargs) if device is None else (numbered(device), args, kwargs | {"device": CPU})

    def _note(
        self, name: str, own: torch.device, wanted: torch.device | None, tensors: list[Tensor], unwaited: bool
    ) -> None:
        """Count the call, where it is one that the host waits for, or the end of a step. Raises DeviceMixedError."""
        if CPU == own == (wanted or CPU):
            return
        if name in ("numpy", "__array__"):
            raise DeviceMixedError("numpy takes no tensor of a GPU; Tensor.cpu() first")
        self.steps += name == STEP
        indexing = name in ("__getitem__", "__setitem__") and tensors[1:]
        masked = indexing and any(tensor.dtype == torch.bool for tensor in tensors[1:])
        indexed_by_host = indexing and any(tensor.dim() and self.where(tensor) == CPU for tensor in tensors[1:])
        moved = wanted is not None and wanted != own and (tensors or name in ("tensor", "as_tensor"))
        crosses = moved or (name == "copy_" and len({self.where(tensor) for tensor in tensors}) > 1)
        if name in WAITING or masked or indexed_by_host or (crosses and not unwaited):
            self.waits.append(Wait(name, _line(), self.steps))


_ABOUT_PLACE: dict[Any, Callable[[torch.device], Any]] = {
    Tensor.device: lambda place: place,
    Tensor.is_cuda: lambda place: place.type == "cuda",
    Tensor.is_cpu: lambda place: place.type == "cpu",
}


def _same(one: Tensor, other: Tensor) -> bool:
    return bool(one.untyped_storage()._cdata == other.untyped_storage()._cdata)


def current() -> int:
    """The number of the thread's current GPU: 0 in a new thread, as CUDA has it."""
    number: int = getattr(_thread, "current", 0)
    return number


def numbered(device: str | int | torch.device) -> torch.device:
    """As CUDA resolves it: without a number it is the thread's current one."""
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return torch.device("cuda", current()) if device == torch.device("cuda") else device


def _line() -> str:
    """Where a call of torch stands: the innermost line that is neither torch's nor of this file."""
    for frame in reversed(traceback.extract_stack(limit=60)):
        if "/torch/" not in frame.filename and frame.filename != __file__:
            return f"{_shown(frame.filename)}:{frame.lineno}"
    return "?"


def _shown(file: str) -> str:
    ours = file.rpartition("/trainers/")[2]
    return f"trainers/{ours}" if ours != file else file


@contextmanager
def pretended(number: int = 0) -> Iterator[PretendedGPU]:
    """GPUs here, and in threads of pools.

    Args:
        number: of this thread's current GPU; other threads begin with the first.
    """
    gpu, submit, autocast = PretendedGPU(), ThreadPoolExecutor.submit, torch.autocast.__init__

    def submitted(pool: ThreadPoolExecutor, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        def within() -> Any:
            with gpu:
                return task(*args, **kwargs)

        return submit(pool, within)

    def on_cpu(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        autocast(self, "cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    before, _thread.current = current(), number
    try:
        with ExitStack() as stack:
            stack.enter_context(settings_kept())  # a training sets how its GPU computes, for the whole process
            stack.enter_context(patch.object(ThreadPoolExecutor, "submit", submitted))
            stack.enter_context(patch.object(torch.autocast, "__init__", on_cpu))
            stack.enter_context(patch.object(torch.cuda, "current_device", current))
            stack.enter_context(patch.object(torch.cuda, "get_rng_state", lambda device: torch.zeros(1)))
            stack.enter_context(patch.object(torch.cuda, "set_rng_state", lambda state, device: None))
            stack.enter_context(gpu)
            yield gpu
    finally:
        _thread.current = before
