"""How often a tuned row is shown to differ where nothing does: whole searches over noise, by the code that runs them.

    uv run python -m benchmarks.tuned_noise
    uv run python -m benchmarks.tuned_noise --sweeps 4000

Each sweep is real but for its training: the plan, the queue, the search, what confirms it, the table's rows and their
tests. In place of an accuracy stands a normal number of standard deviation 1 a seed, about 50; what one seed shows on
the validation split and on the test set is correlated as said (`paper` chooses by the test set itself). A search of 20
configurations stands beside one row that was not tuned. `Δ` is the tuned row's mean difference to it beyond the truth,
which a fair table has at 0, and `shown` how often it is shown to differ at 5 %, of which a half may be upwards.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import yaml

from search_spaces.loader import parse_spec
from sweep import formats
from sweep.engine.job import Job
from sweep.engine.queue import TrialQueue
from sweep.ledger.bodies import final_body
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.read import Results, Searched, Trial
from sweep.results.rows import Row, baseline, rows
from sweep.results.significance import judged
from sweep.search.cell_search import CellSearch
from sweep.search.searches import Searches
from sweep.statistics.paired import shows
from trainers.config import TeacherConfig
from trainers.storage.content import content_key

TRIALS = 20
SETTINGS: dict[str, tuple[str, float]] = {"validation": ("validation", 0.5), "paper": ("paper", 1.0)}
"""The protocol, and the correlation of what a seed shows on the set that chooses and on the test set."""
SPREADS = (0.0, 2.0)
"""Standard deviations of the configurations' true qualities."""
CONFIRMING: dict[str, dict[str, Any]] = {
    "the best": {},
    "the best of 4": {"confirm": 4},
    "the winner of a race of 4 over 5 seeds": {"confirm": 4, "race": 5},
}


def noise_plan(protocol: str = "validation", seeds: int = 4, **search: Any) -> Plan:
    """A tuned row beside one that is not: ``gdkd tuned`` and ``kd``."""
    space = {"w1": {"range": [1, 8]}, "w2": {"range": [1, 8]}}
    spec = {
        "name": "noise",
        "dataset": {"digits": {"image_size": 8}},
        "recipe": {"base": "digits", "epochs": 1, "warmup_epochs": 0},
        "pairs": ["resnet20 -> resnet8"],
        "methods": ["kd", {"gdkd": space}],
        "seeds": seeds,
        "protocol": protocol,
        "search": {"trials": TRIALS, "sampler": "random", "first": [], "pruner": "none"} | search,
    }
    return build_plan(parse_spec(yaml.safe_dump(spec), "noise.yaml"))


@dataclass(frozen=True)
class Found:
    """What came of one sweep."""

    row: Row
    """The tuned one."""
    truth: float
    """What its configuration is better by, in truth, than the row that was not tuned."""
    trials: int
    """After the search's own, those of the row that was not tuned left out."""

    @property
    def error(self) -> float:
        """Of the row's Δ."""
        return (self.row.delta or 0.0) - self.truth


class NoisySweep:
    """A sweep whose accuracies are noise.

    Args:
        plan: of :func:`noise_plan`.
        draw: of all its numbers.
        correlation: between what a seed shows on the set that chooses and on the test set.
        spread: standard deviation of the configurations' true qualities; 0: none is better than another.
    """

    def __init__(self, plan: Plan, draw: np.random.Generator, correlation: float, spread: float = 0.0) -> None:
        self._plan = plan
        self._draw = draw
        self._correlation = correlation
        self._spread = spread
        self._truths: dict[str, float] = {}

    def run(self) -> Found:
        """Run it to its end, and read its table."""
        teachers = {slot.id: TeacherConfig(architecture=slot.pair, hash=content_key(1)) for slot in self._plan.teachers}
        searches = Searches(self._plan)
        queue = TrialQueue(self._plan, teachers, set(), searches)
        trials = []
        while (job := queue.next()) is not None:
            body = self._body(job)
            queue.finished(job.key, None, body)
            trials.append(Trial(job.slot, job.key, "finished", body, 1))
        (search,) = searches.all
        trials += self._searched_too(trials, search)
        results = Results(self._plan, trials, {search.cell.id: _searched(search, searches.outcome(search))}, {})
        base = baseline(self._plan)
        (row,) = [row for row in judged(rows(results, base), base) if row.label.endswith("tuned")]
        after = sum(trial.slot.stage != "search" and trial.slot.method != "kd" for trial in trials)
        return Found(row, self._truth("gdkd", row.varied), after - len(search.chosen()))

    def _truth(self, method: str, varied: dict[str, Any]) -> float:
        """What a configuration is better by; drawn when it is first asked for."""
        if method == "kd" or not self._spread:
            return 0.0
        return self._truths.setdefault(repr(sorted(varied.items())), self._spread * self._draw.standard_normal())

    def _body(self, job: Job) -> dict[str, Any]:
        test, other = self._draw.standard_normal(2)
        val = self._correlation * test + (1 - self._correlation**2) ** 0.5 * other
        middle = 50.0 + self._truth(job.slot.method, job.slot.varied)
        held_out = middle + val if self._plan.protocol == "validation" else None
        epoch = {"epoch": 1, "val_acc": held_out, "test_acc": middle + test, "seconds": 1.0}
        return final_body("finished", [epoch], self._plan.protocol)

    def _searched_too(self, trials: list[Trial], search: CellSearch) -> Iterator[Trial]:
        """What was chosen, with the search's seed: one trial, which stands as a confirming one as well."""
        done = {trial.slot.id: trial for trial in trials}
        for chosen in search.chosen():
            slot = search.cell.slot(chosen.params, "confirm", search.cell.seeds[0])
            yield Trial(slot, done[slot.id].key, "finished", done[slot.id].body, 1)


def _searched(search: CellSearch, raced: dict[str, Any]) -> Searched:
    return Searched(search.budget, {"finished": search.budget}, (), ended=True, race=raced)


def measured(plan: Plan, correlation: float, sweeps: int, spread: float = 0.0, seed: int = 0) -> list[Found]:
    """So many sweeps of a plan, each with numbers of its own."""
    draw = np.random.default_rng(seed)
    return [NoisySweep(plan, draw, correlation, spread).run() for _ in range(sweeps)]


def shown(found: list[Found], *, upwards: bool = False) -> float:
    """Share of the tuned rows that are shown to differ, or to be better."""
    some = [one for one in found if shows(one.row.p_delta) and (not upwards or (one.row.delta or 0.0) > 0)]
    return len(some) / len(found)


def _line(name: str, found: list[Found]) -> list[str]:
    cells = [f"{fmean(one.error for one in found):+.2f}", f"{100 * shown(found):.1f}"]
    cells += [f"{100 * shown(found, upwards=True):.1f}", f"{fmean(one.truth for one in found):+.2f}"]
    return [name, *cells, f"{fmean(one.trials for one in found):.1f}"]


def main() -> None:
    """Print a table for each protocol and spread of the configurations."""
    options = ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--sweeps", type=int, default=1000, help="simulated, of each kind")
    options.add_argument("--seeds", type=int, default=4, help="of the sweep; the first of them is the search's")
    given = options.parse_args()
    heads = ["confirmed", "Δ beyond the truth", "shown, %", "upwards, %", "quality", "trials after the search"]
    for name, (protocol, correlation) in SETTINGS.items():
        for spread in SPREADS:
            print(f"\nprotocol {name}, configurations that differ by {spread:g} deviations of a seed\n")
            lines = [
                _line(how, measured(noise_plan(protocol, given.seeds, **search), correlation, given.sweeps, spread))
                for how, search in CONFIRMING.items()
            ]
            print(formats.to_markdown(heads, lines, right=range(1, len(heads))), flush=True)


if __name__ == "__main__":
    main()
