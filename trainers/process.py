"""The environment of the processes that train."""

from __future__ import annotations

WORKER_ENVIRONMENT = {
    # Large tensors are reused instead of being given back to the system after every step, and lie in huge pages.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For the processes that train, where the user's environment does not say otherwise."""
