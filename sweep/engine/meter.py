"""What an epoch takes of the machine: its processors, memory and GPU, sampled in the process that trains.

A light thread looks every few seconds, whatever the steps do, and once more when an epoch ends; of what it saw an
epoch keeps each reading's mean, weighed by time, and its peak. Nothing is asked of torch on the way: no random number
is drawn and no kernel waits, so what is trained is the same with it and without.

A GPU is read through NVIDIA's own library (``nvidia-ml-py``). Where that, its driver or the GPU is not there, or does
not tell something, the reading is left out. A GPU's numbers are those of the whole device, whoever else is at work on
it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from trainers.models import Network
    from trainers.result import EpochResult

_log = logging.getLogger(__name__)

Gauge = Callable[[], dict[str, float]]
"""Reads something, and gives its values by name; rates are those since it was read before."""
SECONDS = 5.0
"""Between two samples."""
LEAST_SECONDS = 0.5
"""That a peak is to have lasted: processors' time is counted in hundredths of a second, and is no rate in less."""
MEGABYTE = 10**6
PATIENCE_SECONDS = 1.0
"""That the end of a training waits for a reading under way."""
CPU, PROCESS_CPU, PROCESS_MEMORY = "cpu_utilization_percentage", "process_cpu_percentage", "process_memory_megabytes"
GPU, GPU_MEMORY, GPU_POWER = "gpu_0_utilization_percentage", "gpu_0_memory_usage_megabytes", "gpu_0_power_usage_watts"
"""Names as MLflow has them where it has them: of the machine's processors; of this process, where 100 is a core; and of
the first of the trial's GPUs."""


class Meter:
    """Samples gauges in a thread from its making until :meth:`close`.

    Args:
        gauges: what is read.
        every: seconds between two samples.
    """

    def __init__(self, gauges: Iterable[Gauge], every: float = SECONDS) -> None:
        self._gauges = list(gauges)
        self._every = every
        self._seen: dict[str, list[tuple[float, float]]] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._read()  # rates begin here
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)
        self._thread.start()

    def lap(self) -> dict[str, dict[str, float]]:
        """`mean` and `peak` of each reading since the last lap; it takes a sample itself, so that there is one."""
        self._sample()
        with self._lock:
            seen, self._seen = self._seen, {}
        return {name: _summed(values) for name, values in seen.items()}

    def close(self) -> None:
        """End the thread; one that hangs in a driver is left behind, and holds nothing up."""
        self._over.set()
        self._thread.join(PATIENCE_SECONDS)

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            now = time.monotonic()
            passed, self._last = now - self._last, now
            for name, value in self._read().items():
                self._seen.setdefault(name, []).append((passed, value))

    def _read(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for gauge in list(self._gauges):
            try:
                values |= gauge()
            except Exception as error:  # of psutil, of a driver: no trial breaks by being watched
                _log.warning("not measured any more: %s", error)
                self._gauges.remove(gauge)
        return values


def _summed(values: list[tuple[float, float]]) -> dict[str, float]:
    """Mean and peak of values with the seconds that each stands for."""
    passed = sum(seconds for seconds, _ in values)
    mean = sum(seconds * value for seconds, value in values) / passed if passed else values[-1][1]
    lasting = [value for seconds, value in values if seconds >= LEAST_SECONDS]
    return {"mean": mean, "peak": max([mean, *lasting])}


def metered(
    running: Generator[EpochResult, None, Network], gauges: Iterable[Gauge]
) -> Generator[EpochResult, None, Network]:
    """A training whose epochs say what they took of the machine; see :class:`Meter`."""
    meter = Meter(gauges)
    try:
        while True:
            try:
                result = next(running)
            except StopIteration as end:
                network: Network = end.value
                return network
            yield result if result.replayed else replace(result, system=meter.lap())
            if not result.replayed:
                meter.lap()  # what passed until the next epoch was asked for is none of its time
    finally:
        meter.close()
        running.close()


# -- what is read -----------------------------------------------------------------------------------------------------


def gauges_of(on_gpu: bool) -> list[Gauge]:
    """All that this process can read; what cannot even be begun is left out, as what breaks later is."""
    made = [_begun(_processors), _begun(_this_process), *(_gpus() if on_gpu else [])]
    return [gauge for gauge in made if gauge is not None]


def _begun(make: Callable[[], Gauge]) -> Gauge | None:
    try:
        return make()
    except Exception as error:  # of psutil, where a system hides its numbers
        _log.warning("not measured: %r", error)
        return None


def _processors() -> Gauge:
    """How busy the machine's processors were, in percent of all of them."""
    last = _busy_and_all()

    def read() -> dict[str, float]:
        nonlocal last
        before, last = last, _busy_and_all()
        passed = last[1] - before[1]
        return {CPU: 100 * (last[0] - before[0]) / passed} if passed > 0 else {}

    return read


def _busy_and_all() -> tuple[float, float]:
    """Seconds of all processors since the machine began: at work, and in all."""
    times = psutil.cpu_times()
    told = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # these are counted as user's
    return told - times.idle - getattr(times, "iowait", 0.0), told


def _this_process() -> Gauge:
    """Processor time of this process, where 100 is one core, and its resident memory."""
    process = psutil.Process()
    last = (_seconds_of(process), time.monotonic())

    def read() -> dict[str, float]:
        nonlocal last
        before, last = last, (_seconds_of(process), time.monotonic())
        passed = last[1] - before[1]
        rate = {PROCESS_CPU: 100 * (last[0] - before[0]) / passed} if passed > 0 else {}
        return rate | {PROCESS_MEMORY: process.memory_info().rss / MEGABYTE}

    return read


def _seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _gpus() -> list[Gauge]:
    """The readings of the GPU that this process trains on; none where NVIDIA's library does not know it."""
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        told = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        device = pynvml.nvmlDeviceGetHandleByUUID(told if told.startswith("GPU-") else f"GPU-{told}")
    except Exception as error:  # no library, no driver, or a slice of a GPU, which has no such readings
        _log.info("the GPU's use is not measured: %s", error)
        return []
    return list(filter(_tells, _readings(pynvml, device)))


def _readings(pynvml: Any, device: Any) -> list[Gauge]:
    """Each of its own, since not every GPU tells all of it; the library counts milliwatts and bytes."""
    return [
        partial(_reading, GPU, lambda: pynvml.nvmlDeviceGetUtilizationRates(device).gpu),
        partial(_reading, GPU_MEMORY, lambda: pynvml.nvmlDeviceGetMemoryInfo(device).used / MEGABYTE),
        partial(_reading, GPU_POWER, lambda: pynvml.nvmlDeviceGetPowerUsage(device) / 1000),
    ]


def _reading(name: str, read: Callable[[], float]) -> dict[str, float]:
    return {name: float(read())}


def _tells(gauge: Gauge) -> bool:
    try:
        gauge()
    except Exception:  # pynvml's NVMLError_NotSupported, of what this GPU does not tell
        return False
    return True
