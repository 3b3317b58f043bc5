"""What it saves or costs that a search begins with the best points of another one.

    uv run python -m benchmarks.search_transfer cifar10 --learn-from tinyimagenet [--rounds 20]

Both searches are replayed on the curves of :mod:`benchmarks.search_problems` as :mod:`benchmarks.search_cost` does it:
first the one that is learned from to its end, then the other, which begins with the former's best as the engine gives
them on (:mod:`sweep.search.learned`). Between two problems it is their data sets that differ, with the same seed of the
student; from a problem to itself it is the student's seed, which is the most that another pair could tell. Points that
the grid lacks are left out. What the first search trains counts for nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from benchmarks.common import Row, at_most, print_machine, print_rows
from benchmarks.search_cost import QUARTER, WITHIN, Outcome, Setting, print_means, replay
from benchmarks.search_problems import SPECS, Curves, curves_file, read
from sweep.plan.slots import SearchedCell
from sweep.search.learned import best_points

SETTINGS = (Setting("curves", "curves"), Setting("tpe", "asha"))
Problem = tuple[SearchedCell, dict[int, Curves]]


def main() -> None:
    """Print each setting without and with learned points."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=SPECS)
    parser.add_argument("--learn-from", choices=SPECS, required=True)
    parser.add_argument("--rounds", type=int, default=20, help="sampler seeds for each student's seed (20)")
    options = parser.parse_args()
    print_machine()
    problem, source = read(curves_file(options.problem)), read(curves_file(options.learn_from))
    print(f"\n{options.problem}, from {options.learn_from}; {options.rounds} seeds of the sampler")
    shares, losses = list[Row](), list[Row]()
    for setting in SETTINGS:
        for learns in (False, True):
            label = setting.label + (", learned" if learns else "")
            found = list(replays(problem, source if learns else None, setting, range(options.rounds)))
            whole = len(a_seeds_curves(problem)) * problem[0].epochs
            shares.append(Row(label, [(one.reached or whole) / whole for _, one in found], QUARTER))
            losses.append(
                Row(
                    label, [one.loss(known, problem[1], QUARTER.bound * whole) for known, one in found], at_most(WITHIN)
                )
            )
    print_rows(
        "epochs until within 0.2 points of the grid's best validation accuracy, as a share of the grid's", shares
    )
    print_means("share of searches that get there at all", shares, lambda share: float(share < 1))
    print_rows("points of test accuracy that are lost after a quarter of the grid's epochs", losses)
    print_means("mean loss", losses)


def replays(
    problem: Problem, source: Problem | None, setting: Setting, seeds: Iterable[int]
) -> Iterable[tuple[Curves, Outcome]]:
    """All searches of a problem, each with its curves.

    Args:
        problem: what is searched.
        source: what is learned from; None: nothing.
        setting: of both searches.
        seeds: the sampler's.
    """
    cell, curves = problem
    for seed in seeds:
        for student, known in curves.items():
            learned = [] if source is None else taught(source, cell, setting, seed, _other(student, problem, source))
            yield known, replay(cell, known, setting, seed, learned)


def taught(source: Problem, cell: SearchedCell, setting: Setting, seed: int, student: int) -> list[dict[str, object]]:
    """The best points of a search of `source`, as one of `cell` begins with them."""
    search = replay(source[0], source[1][student], setting, seed).search
    return best_points([search] if search else [], cell.space)


def a_seeds_curves(problem: Problem) -> Curves:
    """Of one seed of the student: a curve for each configuration."""
    return next(iter(problem[1].values()))


def _other(student: int, problem: Problem, source: Problem) -> int:
    """The student's seed that is learned from: the same of another problem, the next one of the same."""
    students = list(source[1])
    place = list(problem[1]).index(student) + (problem[0].id == source[0].id)
    return students[place % len(students)]


if __name__ == "__main__":
    main()
