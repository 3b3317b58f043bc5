"""The order in which the tests run."""

from __future__ import annotations

import pytest

from tests.support.order import shared_out


def parts(items: list[str], workers: int) -> list[list[str]]:
    """As `--dist worksteal` cuts a list: what is left, evenly among the processes that have nothing yet."""
    found, left = [], [*items]
    for waiting in range(workers, 0, -1):
        size = len(left) // waiting
        found.append(left[:size])
        left = left[size:]
    return found


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_each_process_begins_with_its_share_of_the_slow_ones_the_longest_first(workers: int) -> None:
    items = [str(number) for number in range(23)]
    slow = {"3": 90.0, "8": 50.0, "9": 40.0, "14": 30.0, "20": 10.0, "22": 5.0}
    ordered = shared_out(items, slow, workers)
    assert sorted(ordered) == sorted(items)
    assert [item for item in ordered if item not in slow] == [item for item in items if item not in slow]
    loads = []
    for part in parts(ordered, workers):
        own = [item for item in part if item in slow]
        assert part[: len(own)] == sorted(own, key=lambda item: -slow[item])
        loads.append(sum(slow[item] for item in own))
    assert max(loads) <= max(90.0, sum(slow.values()) / workers * 4 / 3)


def test_where_all_are_slow_no_process_gets_more_than_its_part() -> None:
    slow = {"long": 100.0, "a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 1.0}
    assert [len(part) for part in parts(shared_out([*slow], slow, 3), 3)] == [2, 2, 2]
    assert parts(shared_out([*slow], slow, 3), 3)[0][0] == "long"
