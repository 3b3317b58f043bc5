"""In which order the tests run: slow ones first, the longest first, and shared out among the processes that test.

`--dist worksteal` hands each process a part of the list, one after the other, and one that is through takes over what
lies last in another's part. So each part begins with its share of the slow tests, and the short ones, which fill the
gaps, end it: no long test is left for when the others have nothing to do.
"""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

import pytest

T = TypeVar("T")
SLOW_SECONDS = 20
"""Of a test that is marked `slow` without a number."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    slow = {item: seconds for item in items if (seconds := seconds_of(item))}
    items[:] = shared_out(items, slow, workers)


def seconds_of(item: pytest.Item) -> float:
    """About how long a slow test takes; nothing for one that is not."""
    mark = item.get_closest_marker("slow")
    return 0 if mark is None else float(mark.args[0] if mark.args else SLOW_SECONDS)


def shared_out(items: list[T], slow: dict[T, float], workers: int) -> list[T]:
    """The same items in the order in which as many processes are to take them, in parts of the size that each gets.

    Args:
        items: in their own order, which those that are not slow keep.
        slow: seconds by item.
        workers: how many processes.
    """
    sizes = [(len(items) + number) // workers for number in range(workers)]  # as worksteal cuts the list
    parts: list[list[T]] = [[] for _ in sizes]
    for item in sorted(slow, key=lambda item: -slow[item]):
        with_room = [part for part, size in zip(parts, sizes, strict=True) if len(part) < size]
        min(with_room, key=lambda part: sum(slow[one] for one in part)).append(item)
    short = iter([item for item in items if item not in slow])
    return [item for part, size in zip(parts, sizes, strict=True) for item in [*part, *islice(short, size - len(part))]]
