"""What an epoch takes of the machine: how often it is read, what becomes of it, and that nothing breaks by it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from sweep.engine.meter import CPU, GPU, GPU_MEMORY, GPU_POWER, PROCESS_CPU, PROCESS_MEMORY, Meter, gauges_of, metered
from tests.support.examples import epoch_body
from trainers.result import EpochResult

HOUR = 3600.0


class Counted:
    """A gauge that counts how often it is read, and gives one value after the other."""

    def __init__(self, *values: float) -> None:
        self.read = 0
        self._values = values

    def __call__(self) -> dict[str, float]:
        self.read += 1
        return {"x": self._values[min(self.read, len(self._values)) - 1]}


def results(*epochs: int, replayed: tuple[int, ...] = ()) -> Generator[EpochResult, None, Any]:
    for epoch in epochs:
        yield EpochResult(**epoch_body(epoch, 70.0) | {"replayed": epoch in replayed})
    return "the network"


def meters() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "meter"]


def test_an_epoch_costs_two_readings_however_many_steps_it_has() -> None:
    gauge = Counted(1.0)
    told = list(metered(results(1, 2, 3), [gauge]))
    assert [result.system for result in told] == [{"x": {"mean": 1.0, "peak": 1.0}}] * 3
    assert gauge.read == 1 + 2 * len(told)


def test_a_long_epoch_is_looked_at_now_and_then() -> None:
    gauge = Counted(0.0, 1.0, 9.0, 1.0)
    meter = Meter([gauge], every=0.001)
    while gauge.read < 5:
        time.sleep(0.001)
    assert 0.0 < meter.lap()["x"]["mean"] < 9.0
    meter.close()
    read = gauge.read
    assert not meters()
    assert gauge.read == read


def test_a_mean_is_weighed_by_time_and_a_peak_has_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, 9.1, 10.0])
    monkeypatch.setattr("sweep.engine.meter.time", SimpleNamespace(monotonic=lambda: next(clock)))
    meter = Meter([Counted(0.0, 10.0, 500.0, 20.0)], every=HOUR)
    meter._sample()
    meter._sample()
    found = meter.lap()["x"]
    meter.close()
    assert found == pytest.approx({"mean": (9.0 * 10 + 0.1 * 500 + 0.9 * 20) / 10, "peak": 20.0})


def test_the_networks_come_through_and_what_is_replayed_was_not_measured() -> None:
    running = metered(results(1, 2, replayed=(1,)), [Counted(1.0)])
    first, second = next(running), next(running)
    assert (first.system, second.system.keys()) == ({}, {"x"})
    with pytest.raises(StopIteration) as end:
        next(running)
    assert end.value.value == "the network"
    assert not meters()


def test_a_training_that_is_left_leaves_no_thread_behind() -> None:
    running = metered(results(1, 2), [Counted(1.0)])
    next(running)
    assert meters()
    running.close()
    assert not meters()


def test_a_gauge_that_breaks_is_not_read_again_and_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, float]:
        raise OSError("the driver is gone")

    told = list(metered(results(1, 2), [broken, Counted(1.0)]))
    assert [result.system.keys() for result in told] == [{"x"}] * 2
    assert caplog.text.count("not measured any more: the driver is gone") == 1


@pytest.mark.parametrize("hidden", ["cpu_times", "Process"])
def test_what_a_system_hides_from_the_beginning_is_left_out(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Any:
        raise psutil.AccessDenied()

    def lasting() -> Generator[EpochResult, None, Any]:
        time.sleep(0.3)  # a system counts its processors' time in hundredths of a second
        return (yield from results(1))

    monkeypatch.setattr(psutil, hidden, refuse)
    (told,) = metered(lasting(), gauges_of(on_gpu=False))
    assert (CPU in told.system, PROCESS_MEMORY in told.system) == (hidden != "cpu_times", hidden != "Process")


def test_processors_and_memory_are_this_machines() -> None:
    meter = Meter(gauges_of(on_gpu=False), every=HOUR)
    began, kept = time.process_time(), bytearray(os.urandom(1) * 64_000_000)
    while time.process_time() - began < 0.05:
        pass
    found = meter.lap()
    meter.close()
    assert found.keys() == {CPU, PROCESS_CPU, PROCESS_MEMORY}
    assert 0.0 <= found[CPU]["mean"] <= 100.0
    assert found[PROCESS_CPU]["mean"] > 0.0
    assert found[PROCESS_MEMORY]["peak"] > len(kept) / 10**6


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., Any]]:
    """A library shaped as NVIDIA's, and torch's word for which GPU this process has: there is none in the tests."""
    import torch

    answers: dict[str, Callable[..., Any]] = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetUtilizationRates": lambda device: SimpleNamespace(gpu=87, memory=40),
        "nvmlDeviceGetMemoryInfo": lambda device: SimpleNamespace(total=80 * 10**9, free=0, used=3 * 10**9),
        "nvmlDeviceGetPowerUsage": lambda device: 412_000,
    }
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(**answers))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="8d1c"))
    return answers


def on_gpu() -> dict[str, float]:
    found: dict[str, float] = {}
    for gauge in gauges_of(on_gpu=True):
        found |= gauge()
    return {name: value for name, value in found.items() if name.startswith("gpu")}


def test_a_gpu_tells_use_memory_and_power_in_the_units_of_their_names(nvidia: dict[str, Callable[..., Any]]) -> None:
    assert on_gpu() == {GPU: 87.0, GPU_MEMORY: 3000.0, GPU_POWER: 412.0}


def test_the_gpu_is_the_one_that_torch_trains_on(
    nvidia: dict[str, Callable[..., Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetHandleByUUID", asked.append)
    on_gpu()
    assert asked == ["GPU-8d1c"]


def test_what_a_gpu_does_not_tell_is_left_out(
    nvidia: dict[str, Callable[..., Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(device: object) -> int:
        raise RuntimeError("Not Supported")

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetPowerUsage", unsupported)
    assert on_gpu() == {GPU: 87.0, GPU_MEMORY: 3000.0}
    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetHandleByUUID", unsupported)
    assert on_gpu() == {}


def test_without_nvidias_library_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert on_gpu() == {}
    assert len(gauges_of(on_gpu=True)) == 2
