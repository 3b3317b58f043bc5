"""SLD, which sees two views and compares them at several temperatures, against the authors' loop of DHKD."""

from __future__ import annotations

from benchmarks.common import at_least
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.contest import Contestant, contest
from benchmarks.gpu.material import size, some_data

GOAL = at_least(10)
WHOLE = {"start": 0}
"""With all its terms from the first epoch on."""
CONTESTANTS = {
    "sld, bf16": Contestant("sld", WHOLE, {"precision": "bf16"}, GOAL),
    "sld, fp32": Contestant("sld", WHOLE, {}, GOAL),
    "sld, bf16, compiled": Contestant("sld", WHOLE, {"precision": "bf16", "compile": True}, GOAL),
}


def run(asked: Asked) -> None:
    """Race."""
    for _ in contest(asked, size(asked).pair, CONTESTANTS if not asked.quick else _eager(), some_data(asked)):
        pass


def _eager() -> dict[str, Contestant]:
    """Without those that wait for a compiler."""
    return {name: one for name, one in CONTESTANTS.items() if not one.recipe.get("compile")}
