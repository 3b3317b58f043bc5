"""How many trials have room side by side: on machines that are there, on whole GPUs and on shares of one."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from sweep.engine.room import Room, check_resources, nodes, room
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import small_spec
from trainers.errors import InputError


def planned(**compute: Any) -> Plan:
    return build_plan(small_spec(compute=compute))


def machine(cpus: float, gpus: float = 0, alive: bool = True) -> dict[str, Any]:
    """As Ray describes one; it leaves out what a machine has none of."""
    return {"Alive": alive, "Resources": {"CPU": cpus} | ({"GPU": gpus} if gpus else {})}


def given(monkeypatch: pytest.MonkeyPatch, *machines: dict[str, Any]) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: list(machines))


SHARES = [
    (0.5, [2], 4),
    (0.4, [2], 4),  # two on each; 0.2 of each is left, which is no place for a fifth
    (0.6, [2], 2),
    (0.6, [5], 5),
    (0.75, [1, 1, 1], 3),
    (1 / 3, [2], 6),
    (0.1, [1], 10),
    (0.3, [3, 1], 12),
    (1, [3], 3),
    (2, [3], 1),
    (2, [3, 3], 2),  # nor do two whole ones lie on two machines
    (4, [2, 2], 0),
]


@pytest.mark.parametrize(("each", "gpus", "fit"), SHARES)
def test_a_share_of_a_gpu_lies_on_one(monkeypatch: pytest.MonkeyPatch, each: float, gpus: list[int], fit: int) -> None:
    given(monkeypatch, *(machine(100, here) for here in gpus))
    assert room(planned(gpus=each)) == fit


@pytest.mark.parametrize(
    ("compute", "machines", "fit"),
    [
        ({"cpus": 3}, [(8, 0)], 2),
        ({"cpus": 3}, [(8, 0), (4, 0)], 3),
        ({"cpus": 3}, [(2, 0), (2, 0)], 0),
        ({"cpus": 4, "gpus": 0.25}, [(8, 4)], 2),
        ({"cpus": 1, "gpus": 1}, [(8, 2), (8, 0)], 2),
        ({"cpus": 2, "workers": 2}, [(3, 0), (3, 0), (3, 0)], 1),
    ],
    ids=str,
)
def test_the_scarcer_of_cores_and_gpus_decides(
    monkeypatch: pytest.MonkeyPatch, compute: dict[str, Any], machines: list[tuple[int, int]], fit: int
) -> None:
    given(monkeypatch, *(machine(*one) for one in machines))
    assert room(planned(**compute)) == fit


def test_a_machine_that_is_gone_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray goes on listing what has left its cluster."""
    given(monkeypatch, machine(4), machine(64, alive=False), machine(2), machine(64, 8, alive=False))
    assert nodes() == [{"CPU": 4}, {"CPU": 2}]
    assert room(planned(cpus=2)) == Room(planned(cpus=2), changes=True)() == 3
    check_resources(planned(cpus=4))
    with pytest.raises(InputError, match=r"5 CPUs and 0 GPUs .* this machine has 4 CPUs and 0 GPUs, 2 CPUs and 0 GPUs"):
        check_resources(planned(cpus=5))
