"""Five alphas in one process, over the same batches, against the authors' loop five times; evaluation included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from benchmarks.common import Goal, at_least, ratios, seconds
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.contest import THEIRS, their_turns
from benchmarks.gpu.material import DHKD, empty_bank, fill, size, some_data, teacher_of, trial
from benchmarks.trials import ALPHAS
from trainers.errors import InputError
from trainers.teaching.logit_bank import LogitBank

MODULE = "trainers.cohort"
GOAL = at_least(50)
RECIPES: dict[str, tuple[dict[str, Any], Goal | None]] = {
    "bf16": ({"precision": "bf16"}, GOAL),
    "fp32": ({}, None),
    "bf16, compiled": ({"precision": "bf16", "compile": True}, GOAL),
}


def run(asked: Asked) -> None:
    """Race a cohort in each precision."""
    if find_spec(MODULE) is None:
        asked.say("five alphas as a cohort", skipped="not built")
        return
    how = size(asked)
    theirs = their_turns(how.pair, asked, tested=True)
    theirs()
    rates = [theirs() for _ in range(how.rounds)]
    asked.figure(THEIRS, rates, unit="images/s")
    with empty_bank() as bank:
        for name, (recipe, goal) in RECIPES.items():
            with asked.trying(f"five alphas as a cohort, {name}"), _refusals(asked, name):
                ours = _rates(asked, bank, recipe)
                beside = {"unit": "times the authors' images/s", "images_per_second": ours}
                asked.figure(f"five alphas as a cohort, {name}", ratios(ours, rates), goal, **beside)


@contextmanager
def _refusals(asked: Asked, name: str) -> Iterator[None]:
    """A context in which a cohort may be refused."""
    try:
        yield
    except InputError as error:
        asked.say(f"five alphas as a cohort, {name}", skipped=str(error))


def _rates(asked: Asked, bank: LogitBank, recipe: dict[str, Any]) -> Sequence[float]:
    """Training images per second of all five together, of each epoch after the first."""
    from trainers.cohort import fit_cohort

    how, data = size(asked), some_data(asked)
    teacher, count = teacher_of(how.pair.teacher, asked), 1 + how.rounds
    configs = [
        trial(how.pair, "dhkd", DHKD | {"alpha": alpha}, batch=how.batch, epochs=count, **recipe) for alpha in ALPHAS
    ]
    fill(bank, configs[0], data, teacher, asked.device)
    trials = fit_cohort(configs, data=data, teacher=teacher, bank=bank, device=asked.device)
    taken = [seconds(lambda: [next(one) for one in trials]) for _ in range(count)]
    return [len(ALPHAS) * len(data.train) / each for each in taken[1:]]
