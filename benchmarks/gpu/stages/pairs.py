"""One trial of the pairs that have no goal on a GPU: a deep student, and one that is bound by memory."""

from __future__ import annotations

from benchmarks.gpu.asked import Asked
from benchmarks.gpu.contest import Contestant, contest
from benchmarks.gpu.material import DHKD, QUICK, some_data
from benchmarks.trials import LIGHT, SMALL

CONTESTANTS = {
    "fp32": Contestant("dhkd", DHKD, {}),
    "bf16": Contestant("dhkd", DHKD, {"precision": "bf16"}),
    "bf16, compiled": Contestant("dhkd", DHKD, {"precision": "bf16", "compile": True}),
}


def run(asked: Asked) -> None:
    """Race."""
    for pair in (QUICK.pair,) if asked.quick else (SMALL, LIGHT):
        for _ in contest(asked, pair, {"bf16": CONTESTANTS["bf16"]} if asked.quick else CONTESTANTS, some_data(asked)):
            pass
