"""What a recipe's `deterministic: true` costs, and a bank that has nothing yet."""

from __future__ import annotations

from benchmarks.gpu.asked import Asked
from benchmarks.gpu.contest import Contestant, contest
from benchmarks.gpu.material import DHKD, size, some_data

CONTESTANTS = {
    "fp32, deterministic": Contestant("dhkd", DHKD, {"deterministic": True}),
    "fp32": Contestant("dhkd", DHKD, {}),
    "bf16": Contestant("dhkd", DHKD, {"precision": "bf16"}),
    "bf16, without a bank": Contestant("dhkd", DHKD, {"precision": "bf16"}, banked=False),
}
"""The deterministic one first, see :mod:`benchmarks.gpu.stages.deterministic`."""


def run(asked: Asked) -> None:
    """Race."""
    for _ in contest(asked, size(asked).pair, CONTESTANTS, some_data(asked)):
        pass
