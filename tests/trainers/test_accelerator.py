"""What a process has of a GPU, and that one on a CPU is left alone."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from trainers import accelerator
from trainers.contract.case import Case
from trainers.contract.pretended_gpu import pretended


def test_a_gpu_without_a_number_is_the_thread_s_current_one() -> None:
    with pretended(2):
        assert accelerator.placed("cuda") == torch.device("cuda", 2)
        assert accelerator.placed("cuda:1") == torch.device("cuda", 1)
    assert accelerator.placed("cpu") == torch.device("cpu")


@pytest.mark.parametrize("users", [None, ":16:8"])
def test_cublas_is_told_to_repeat_before_anything_is_multiplied(
    users: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", users or "")  # put back afterwards
    if users is None:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    importlib.reload(accelerator)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == (users or accelerator.WORKSPACE)


def test_what_ended_is_collected_before_the_cache_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("cache"))
    monkeypatch.setattr(gc, "collect", lambda: done.append("cycles"))
    monkeypatch.setitem(sys.modules, "torch._dynamo", SimpleNamespace(reset=lambda: done.append("compiled")))
    accelerator.given_back()
    assert done == ["compiled", "cycles", "cache"]


def test_a_process_without_a_gpu_gives_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: pytest.fail("takes a tenth of a second of every trial"))
    accelerator.given_back()
    accelerator.limited(0)


def test_what_was_compiled_is_forgotten_for_another_student_only(monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[int] = []
    monkeypatch.setitem(sys.modules, "torch._dynamo", SimpleNamespace(reset=lambda: resets.append(1)))
    monkeypatch.setattr(torch, "compile", lambda what, **how: what)
    counts = []
    trials = (("kd", 10, 8), ("kd", 10, 8), ("kd", 7, 8), ("dkd", 7, 8), ("dkd", 7, 8), ("dkd", 7, 16))
    for name, classes, batch in trials:
        Case(name, classes=classes).method().set_up(None, batch)
        counts.append(len(resets))
    assert [after - counts[0] for after in counts] == [0, 0, 1, 2, 2, 3]


@pytest.mark.slow(30)
def test_more_networks_than_torch_compiles_are_compiled_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo

    compiled, plain = [], torch.compile

    def counted(graph: torch.fx.GraphModule, inputs: object) -> object:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda what, dynamic, mode: plain(what, dynamic=dynamic, backend=counted))
    counts = []
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):  # type: ignore[no-untyped-call]
        for classes in (10, 10, 7):
            of = Case("kd", classes=classes)
            method = of.method().train()
            method.set_up(None, len(of.batch))
            method.losses_as_set_up(of.batch)
            counts.append(len(compiled))
    assert counts == [1, 1, 2]
