"""Settings of the whole suite: the same examples in every run, no time limits, nothing kept between runs."""

from __future__ import annotations

import os

import torch
from hypothesis import HealthCheck, settings

from tests.order import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]

settings.register_profile(
    "project", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")
torch.set_num_threads(1)  # tests run side by side, and threads that fight for cores are slower than none


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: the longest tests wait for other processes most of their time."""
    return (os.cpu_count() or 1) + 1
