"""Settings of the whole suite: the same examples in every run, no time limits, nothing kept between runs."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.support.order import pytest_collection_modifyitems
from trainers.allotment import cores

__all__ = ["pytest_collection_modifyitems"]

for _name in ("UV", "SWEEP_ROOT", "MLFLOW_TRACKING_URI"):  # by which commands are read and printed otherwise
    os.environ.pop(_name, None)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would each compile us anew
sys.dont_write_bytecode = False


HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a command may handle in its own way, for as long as its process lives."""


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """What a command does with signals ends with the test that calls it, as it ends with a user's process."""
    before = {number: signal.getsignal(number) for number in HEARD}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def pytest_collection(session: pytest.Session) -> None:
    """In each process that tests, and in none that only shares out the tests: both imports take seconds.

    What is imported stays, so the garbage collector need not look through it while it grows, nor later.
    """
    gc.disable()
    import torch
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "project", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("project")
    torch.set_num_threads(1)  # tests run side by side, and threads that fight for cores are slower than none
    for absent in (device for device in (torch.cuda, torch.xpu, torch.mtia) if not device.is_available()):
        absent.manual_seed_all = _nothing_to_seed


def _nothing_to_seed(seed: int) -> None:
    """For a device that is not there: torch keeps the formatted stack of each call, for the device's first use."""


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    gc.unfreeze()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores where the longest tests run, which wait for other processes most of their time."""
    return cores() if config.option.markexpr == "not slow" else cores() + 1
