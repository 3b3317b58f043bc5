"""The pretended GPU finds what a real one would refuse or wait for; and planted mistakes in the project's own code."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.pretended_gpu import CLASSES, images, trial
from trainers.config import Recipe
from trainers.contract.pretended_gpu import DeviceMixedError, pretended
from trainers.diagnostics.neural_collapse import class_means
from trainers.distillers import ofd, sld
from trainers.fit import fit
from trainers.loop.data_parallel import ALONE
from trainers.loop.evaluate import _counted
from trainers.models import build
from trainers.training import Training
from trainers.views import pixel_ops
from trainers.views.views import Views

MIXED: dict[str, Callable[[Tensor], object]] = {
    "two tensors": lambda x: x + torch.ones(4),
    "an index into the CPU's": lambda x: torch.ones(9)[x.long()],
    "a number among tensors": lambda x: torch.stack([x[0], torch.tensor(1.0)]),
    "a change of the CPU's": lambda x: torch.zeros(()).add_(x.sum()),
    "two GPUs": lambda x: x + x.to("cuda:1"),
    "numpy": lambda x: x.numpy(),
    "in a thread": lambda x: list(ThreadPoolExecutor(1).map(lambda y: y + torch.ones(4), [x])),
}
FINE: dict[str, Callable[[Tensor], object]] = {
    "a number of the CPU's": lambda x: x * torch.tensor(2.0),
    "made there": lambda x: x + torch.arange(4, device=x.device),
    "made like it": lambda x: x + torch.ones_like(x) + x.new_zeros(4),
    "in place": lambda x: x.add_(1).mul_(2),
}
WAITS: dict[str, Callable[[Tensor], object]] = {
    "a number": lambda x: x.sum().item(),
    "a branch": lambda x: 1 if x.sum() > 0 else 2,
    "a mask": lambda x: x[x > 0],
    "a copy": lambda x: x.cpu(),
    "an index of the CPU's": lambda x: x[torch.arange(2)],
    "a constant": lambda x: x + torch.tensor([1.0] * 4, device="cuda"),
    "text": lambda x: f"{x.sum()}",
}


@pytest.mark.parametrize("call", MIXED.values(), ids=MIXED)
def test_what_cuda_refuses_is_refused(call: Callable[[Tensor], object]) -> None:
    with pretended(), pytest.raises(DeviceMixedError):
        call(torch.ones(4, device="cuda"))


@pytest.mark.parametrize("call", FINE.values(), ids=FINE)
def test_what_cuda_does_is_done_there(call: Callable[[Tensor], Any]) -> None:
    with pretended() as gpu:
        assert call(torch.ones(4, device="cuda")).device == torch.device("cuda:0")
    assert gpu.waits == []


@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_what_the_host_waits_for_is_told_with_its_line(call: Callable[[Tensor], object]) -> None:
    with pretended() as gpu:
        call(torch.ones(4, device="cuda"))
    assert len(gpu.waits) == 1
    assert gpu.waits[0].line.endswith(f"test_pretended_gpu.py:{call.__code__.co_firstlineno}")


def test_a_copy_stays_where_it_was_and_networks_move_whole() -> None:
    with pretended():
        here = torch.ones(4)
        there = here.to("cuda")
        there += 1
        network = build("resnet8", num_classes=3).to("cuda")
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"cuda"}
        assert network(torch.zeros(2, 3, 8, 8, device="cuda")).is_cuda
        assert not here.is_cuda
    assert here.tolist() == [1] * 4


def test_a_gradient_lies_where_its_tensor_does() -> None:
    with pretended():
        weight = torch.ones(4, device="cuda").requires_grad_()
        (weight * 2).sum().backward()
        assert weight.grad is not None
        assert weight.grad.is_cuda


def test_a_thread_has_the_first_gpu_and_this_one_its_own() -> None:
    with pretended(1), ThreadPoolExecutor(1) as pool:
        assert torch.ones(1, device="cuda").device.index == torch.cuda.current_device() == 1
        assert pool.submit(lambda: torch.ones(1, device="cuda").device.index).result() == 0


# -- mistakes planted in what the project has --------------------------------------------------------------------------

PLANTED: dict[str, tuple[Callable[..., Any], str, str, Callable[..., object]]] = {
    "classes counted on the CPU": (
        sld.swap_logits,
        r", device=logits.device",
        "",
        lambda swap: swap(*on_gpu(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))),
    ),
    "a share of each stage": (
        ofd.ofd_loss,
        r", device=losses.device",
        "",
        lambda loss: loss(on_gpu(torch.ones(2, 3, 4, 4)), on_gpu(torch.ones(2, 3, 4, 4)), on_gpu(torch.zeros(3))),
    ),
    "levels of a channel": (
        pixel_ops.equalize,
        r", device=images.device",
        "",
        lambda equalize: equalize(*on_gpu(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))),
    ),
    "labels that are not fetched": (
        class_means,
        r"labels\.cpu\(\)",
        "labels",
        lambda means: means(*on_gpu(torch.zeros(4, 3), torch.arange(4)), 4),
    ),
    "hits counted on the CPU": (
        _counted,
        r", device=split.labels.device\)\n    own",
        ")\n    own",
        lambda measure: evaluated(measure),
    ),
    "a training that counts on the CPU": (
        Training.begin,
        r"Tally\(self._weighing, self.material.place\)",
        "Tally(self._weighing, torch.device('cpu'))",
        lambda begin: trained(begin),
    ),
}


def trained(begin: Callable[..., None]) -> object:
    """An epoch that begins so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "begin", begin)
        return next(fit(trial("scratch"), data=images(), device="cuda:0"))


def on_gpu(*tensors: Tensor) -> list[Tensor]:
    return [tensor.to("cuda") for tensor in tensors]


def evaluated(measure: Callable[..., object]) -> object:
    data = images()
    views, exact = Views(Recipe(views="none"), data, torch.device("cuda:0")), torch.autocast("cuda", enabled=False)
    network, test = build("resnet8", num_classes=CLASSES).to("cuda"), data.test.to(torch.device("cuda"))
    return measure(network, test, views, exact, ALONE)


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(mistake: str) -> None:
    right, pattern, wrong, call = PLANTED[mistake]
    text, count = re.subn(pattern, wrong, dedent(inspect.getsource(right)))
    assert count
    scope = dict(vars(sys.modules[right.__module__]))
    exec("from __future__ import annotations\n" + text, scope)
    with pretended():
        call(right)
        with pytest.raises(DeviceMixedError):
            call(scope[right.__name__])
