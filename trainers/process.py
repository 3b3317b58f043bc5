"""The environment of this process, and of those that train."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

WORKER_ENVIRONMENT = {
    # Large tensors are reused instead of being given back to the system after every step, and lie in huge pages.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For the processes that train, where the user's environment does not say otherwise."""


@contextmanager
def environment_put_back(names: Iterable[str]) -> Iterator[None]:
    """A block after which the environment says of these names what it said before."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
