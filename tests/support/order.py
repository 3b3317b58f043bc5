"""In which order the tests run: slow ones first, the longest first, and shared out among the processes that test.

`--dist worksteal` hands each process a part of the list, one after the other, and one that is through takes over what
lies last in another's part. So each part begins with its share of the slow tests, and the short ones, which fill the
gaps, end it: no long test is left for when the others have nothing to do.

Slow tests for which something is made once for their module stay together, one after the other in one process: it would
be made again in each other process, and each time that a test of another module ran in between.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TypeVar

import pytest

T = TypeVar("T")
SLOW_SECONDS = 20
"""Of a test that is marked `slow` without a number."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    slow = {item: seconds for item in items if (seconds := seconds_of(item))}
    items[:] = shared_out(items, slow, workers, with_its_module)


def with_its_module(item: pytest.Item) -> str:
    """The test's file where a fixture that it uses is made once for that; elsewhere its own name."""
    fixtures = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    ours = any(one.scope == "module" and one.baseid for several in fixtures for one in several)
    return str(item.path) if ours else item.nodeid


def seconds_of(item: pytest.Item) -> float:
    """About how long a slow test takes; nothing for one that is not."""
    mark = item.get_closest_marker("slow")
    return 0 if mark is None else float(mark.args[0] if mark.args else SLOW_SECONDS)


def shared_out(items: list[T], slow: dict[T, float], workers: int, together: Callable[[T], str] = str) -> list[T]:
    """The same items in the order in which as many processes are to take them, in parts of the size that each gets.

    Args:
        items: in their own order, which those that are not slow keep.
        slow: seconds by item.
        workers: how many processes.
        together: slow items of which this says the same stay together, where a part has room for them.
    """
    sizes = [(len(items) + number) // workers for number in range(workers)]  # as worksteal cuts the list
    parts: list[list[T]] = [[] for _ in sizes]
    for group in _groups(slow, together):
        fits = any(len(part) + len(group) <= size for part, size in zip(parts, sizes, strict=True))
        for one in [group] if fits else [[item] for item in group]:
            room = [part for part, size in zip(parts, sizes, strict=True) if len(part) + len(one) <= size]
            min(room, key=lambda part: sum(slow[item] for item in part)).extend(one)
    short = iter([item for item in items if item not in slow])
    return [item for part, size in zip(parts, sizes, strict=True) for item in [*part, *islice(short, size - len(part))]]


def _groups(slow: dict[T, float], together: Callable[[T], str]) -> list[list[T]]:
    """Items that stay together, the longest first, and so in each group."""
    found: dict[str, list[T]] = {}
    for item in sorted(slow, key=lambda item: -slow[item]):
        found.setdefault(together(item), []).append(item)
    return sorted(found.values(), key=lambda group: -sum(slow[item] for item in group))
