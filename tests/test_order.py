"""The order in which the tests run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_what_is_made_for_several_is_made_for_all_of_them_at_once(workers: int) -> None:
    slow = {"long": 60.0, "a1": 20.0, "b1": 19.0, "a2": 9.0, "b2": 9.0, "a3": 5.0}
    ordered = shared_out([*slow, "short", "shorter", "shortest"], slow, workers, lambda item: item[0])
    for several in (["a1", "a2", "a3"], ["b1", "b2"]):
        (part,) = (part for part in parts(ordered, workers) if several[0] in part)
        assert part[part.index(several[0]) :][: len(several)] == several


def test_where_no_part_has_room_for_all_of_them_they_are_shared_out() -> None:
    slow = {"a1": 4.0, "a2": 3.0, "a3": 2.0, "a4": 1.0}
    assert parts(shared_out([*slow], slow, 2, lambda item: item[0]), 2) == [["a1", "a4"], ["a2", "a3"]]


def test_a_test_stays_with_those_of_its_module_that_share_a_fixture(tmp_path: Path) -> None:
    one = "import pytest\n@pytest.fixture(scope='module')\ndef made(): print('made')\n"
    one += "@pytest.mark.slow(9)\ndef test_a(made): pass\n@pytest.mark.slow(2)\ndef test_b(made): pass\n"
    one += "@pytest.mark.slow(4)\ndef test_c(): pass\n"
    (tmp_path / "test_one.py").write_text(one)
    (tmp_path / "test_two.py").write_text("import pytest\n@pytest.mark.slow(5)\ndef test_d(): pass\n")
    (tmp_path / "conftest.py").write_text("from tests.support.order import pytest_collection_modifyitems\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    command = [sys.executable, "-m", "pytest", "-v", "-s", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", tmp_path]
    known = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=known, capture_output=True, text=True, check=True)
    assert re.findall(r"::test_(\w)", done.stdout) == ["a", "b", "d", "c"]
    assert done.stdout.count("made") == 1
