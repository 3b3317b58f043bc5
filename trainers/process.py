"""The processes that train: their cores and their environment."""

from __future__ import annotations

import os

WORKER_ENVIRONMENT = {
    # Large tensors are reused instead of being given back to the system after every step, and lie in huge pages.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For the processes that train, where the user's environment does not say otherwise."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS
