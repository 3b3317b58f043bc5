"""The first sentence: what came out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweep.layout import SweepPaths
from sweep.ledger.lock import exclusive
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import leaderboard
from sweep.results.headline import headline
from tests.support.boards import BEHIND, MATCHED, SEEDS, better_with_k, of_three_seeds, searched_plan, tell
from tests.support.examples import SPEC, begin, play, record, slot_of, small_spec

PAIR = "resnet20→resnet8"
PAIRS = ["resnet20 -> resnet8", "resnet14 -> resnet32", "resnet14 -> resnet20"]
NOISE = (0.0, 0.5, 0.3)


def of_pairs(ledger: Ledger, means: dict[str, list[float]], *, seeds: int = 3, **changes: Any) -> str:
    """The sentence of a sweep where each method has these means, one a pair."""
    pairs = PAIRS[: len(next(iter(means.values())))]
    plan = build_plan(small_spec(pairs=pairs, methods=list(means), seeds=seeds, **changes))
    begin(ledger, plan)
    for slot in plan.slots:
        place = [pair.replace(" -> ", "→") for pair in pairs].index(slot.pair) if slot.stage == "confirm" else 0
        noise = NOISE[(slot.seed + len(slot.method)) % 3] / 10 + slot.seed
        record(ledger, plan, slot, [97.0 if slot.stage == "teacher" else means[slot.method][place] + noise])
    return headline(leaderboard(ledger))


# -- one pair -----------------------------------------------------------------------------------------------------


def test_a_row_that_beats_all_others_leads(ledger: Ledger) -> None:
    told = headline(of_three_seeds(ledger, BEHIND))
    assert told.startswith(
        f"dhkd α=0.5 leads under {PAIR} with 93.50 %, 3.00 points above kd, the baseline; every other"
    )
    assert "is shown to be worse (corrected p at most 0.0" in told
    assert told.endswith(").")


def test_a_row_that_beats_the_baseline_but_not_all_leads_and_names_its_ties(ledger: Ledger) -> None:
    told = headline(of_three_seeds(ledger, MATCHED))
    assert told.startswith(
        f"dhkd α=1 leads under {PAIR} with 93.63 %, 3.13 points above kd, the baseline (corrected p "
    )
    assert told.endswith("), but is not told apart from dhkd α=0.5.")


def test_a_highest_mean_within_the_noise_does_not_lead(ledger: Ledger) -> None:
    near = {"scratch": [90.0, 92.0, 91.0], "kd": [91.0, 90.0, 92.5], "dhkd α=0.5": [92.0, 91.5, 90.6]}
    told = headline(of_three_seeds(ledger, near | {"dhkd α=1": [88.0, 91.0, 92.0]}))
    assert told.startswith(
        f"dhkd α=0.5 has the highest accuracy under {PAIR}, 91.37 %, but is not told apart from kd, the"
    )
    assert "baseline (+0.20 points, corrected p = 1), nor from scratch or dhkd α=1." in told


def test_a_baseline_that_beats_all_leads(ledger: Ledger) -> None:
    worse = {name: [value - 9 for value in BEHIND["dhkd α=1"]] for name in ("dhkd α=0.5", "dhkd α=1")}
    told = headline(of_three_seeds(ledger, worse))
    assert told.startswith(
        f"kd, the baseline, leads under {PAIR} with 90.50 %, 7.83 points above dhkd α=0.5, the next; "
    )


def test_a_baseline_within_the_noise_has_the_highest_accuracy(ledger: Ledger) -> None:
    near = {"scratch": [90.0, 92.0, 91.0], "kd": [92.0, 91.5, 90.6]}
    more = {"dhkd α=0.5": [91.0, 90.0, 92.5], "dhkd α=1": [88.0, 91.0, 92.0]}
    assert headline(of_three_seeds(ledger, near | more)) == (
        f"kd, the baseline, has the highest accuracy under {PAIR}, 91.37 %, but is not told apart from dhkd α=0.5,"
        " scratch or dhkd α=1."
    )


def test_without_a_baseline_the_next_row_is_named(ledger: Ledger) -> None:
    told = headline(of_three_seeds(ledger, BEHIND, methods=["scratch", {"dhkd": {"alpha": [0.5, 1]}}]))
    assert told.startswith(
        f"dhkd α=0.5 leads under {PAIR} with 93.50 %, 1.83 points above dhkd α=1, the next; every other"
    )


def test_a_row_that_beats_the_baseline_is_named_where_a_noisy_one_stands_above(ledger: Ledger) -> None:
    wild = {"scratch": [95.0, 99.0, 88.0], "dhkd α=1": [93.2, 93.9, 94.0]}
    told = headline(of_three_seeds(ledger, wild))
    assert told.startswith(
        f"scratch has the highest accuracy under {PAIR}, 94.00 %, but is not told apart from kd, the base"
    )
    assert "; dhkd α=1 is shown to be better by 3.20 points (corrected p = " in told


@pytest.mark.parametrize(
    ("seeds", "why"),
    [
        (1, "with one seed nothing is tested."),
        (2, "nothing is tested: a test needs 3 common seeds, there are 2."),
    ],
)
def test_with_few_seeds_it_says_that_nothing_is_tested(ledger: Ledger, seeds: int, why: str) -> None:
    plan = build_plan(small_spec(seeds=seeds))
    tell(
        ledger,
        plan,
        {(name, n): SEEDS.get(name, [89.0, 89.0])[n] for name in (*SEEDS, "dhkd α=1") for n in range(seeds)},
    )
    told = headline(leaderboard(ledger))
    assert told.startswith(f"dhkd α=0.5 has the highest accuracy under {PAIR}, 93.")
    assert told.endswith(f" points above kd, the baseline; {why}")


def test_equal_differences_are_told_from_few_seeds(ledger: Ledger) -> None:
    plan = build_plan(small_spec(seeds=3, methods=["scratch", "kd"]))
    tell(ledger, plan, {(n, s): a + s for n, a in (("scratch", 80.0), ("kd", 90.0)) for s in range(3)})
    assert headline(leaderboard(ledger)) == (
        f"kd, the baseline, has the highest accuracy under {PAIR}, 91.00 %, 10.00 points above scratch, the next;"
        " nothing is tested: the differences are the same in every seed."
    )


def test_a_single_row_is_compared_with_nothing(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["dhkd"], seeds=1))
    tell(ledger, plan, {("dhkd", 0): 80.0})
    assert headline(leaderboard(ledger)) == f"dhkd reaches 80.00 % under {PAIR}, and has nothing beside it."


# -- how far ------------------------------------------------------------------------------------------------------


def test_while_it_runs_it_says_how_far(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    assert headline(leaderboard(ledger)) == "No student has finished yet (0 of 9 trials)."
    record(ledger, small_plan, slot_of(small_plan, "kd"), [80.0])
    record(ledger, small_plan, slot_of(small_plan, "dhkd α=1"), [82.0])
    record(ledger, small_plan, slot_of(small_plan, "scratch"), [10.0], state="running")
    with exclusive(SweepPaths(ledger.path.parent).lock, "sweep 'small'"):
        assert headline(leaderboard(ledger)) == (
            f"So far (2 of 9 trials): dhkd α=1 has the highest accuracy under {PAIR}, 82.00 %, 2.00 points above kd,"
            " the baseline; with one seed nothing is tested."
        )


def test_where_all_failed_nothing_has_finished(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["kd"]))
    begin(ledger, plan)
    for slot in plan.teachers:
        record(ledger, plan, slot, [97.0])
    for slot in plan.students:
        record(ledger, plan, slot, [10.0], state="diverged" if slot.seed else "failed")
    assert headline(leaderboard(ledger)) == "No student has finished: 1 diverged, 1 failed."


def test_of_nothing_but_a_teacher_no_student_has_finished_yet(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    record(ledger, small_plan, small_plan.teachers[0], [97.0])
    told = leaderboard(ledger)
    assert headline(replace(told, rows=(), states={"finished": 1})) == "No student has finished yet (1 of 9 trials)."


def test_of_a_search_that_goes_on_the_number_of_trials_is_the_most(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k, trials=8)
    assert headline(leaderboard(ledger)).startswith("So far (8 of at most 12 trials): kd")
    play(ledger, searched_plan(), better_with_k)
    assert headline(leaderboard(ledger)).startswith("kd, the baseline, has the highest accuracy under")


# -- several pairs, several recipes -------------------------------------------------------------------------------


def test_over_pairs_the_mean_leads_and_its_pairs_are_counted(ledger: Ledger) -> None:
    told = of_pairs(ledger, {"dist": [70.0, 80.0, 75.1], "kd": [80.0, 90.0, 85.2], "dkd": [82.0, 92.1, 87.0]})
    assert told.startswith("dkd leads over 3 pairs with 88.06 %, 1.97")
    assert " points above kd, the baseline; every other row is shown to be worse (corrected p at most 0.0" in told
    assert told.endswith("; it has the highest accuracy under 3 of 3 pairs, and is shown to be better than kd under 3.")


def test_over_pairs_within_the_noise_nobody_leads(ledger: Ledger) -> None:
    told = of_pairs(ledger, {"kd": [80.0, 90.0, 85.0], "dkd": [83.0, 89.0, 85.5]})
    assert told.startswith("dkd has the highest accuracy over 3 pairs, 86.")
    assert "but is not told apart from kd, the baseline (+0.8" in told
    assert told.endswith("; it has the highest accuracy under 2 of 3 pairs, and is shown to be better than kd under 2.")


def test_over_two_pairs_the_mean_is_not_tested(ledger: Ledger) -> None:
    told = of_pairs(ledger, {"kd": [80.0, 90.0], "dkd": [82.0, 92.0]}, seeds=1)
    assert "points above kd, the baseline; the mean is not tested: a test needs 3 pairs; it has the highest" in told
    assert told.endswith(" under 2 of 2 pairs, and is shown to be better than kd under none.")


def test_where_no_row_has_all_pairs_it_says_so(ledger: Ledger) -> None:
    plan = build_plan(small_spec(pairs=PAIRS[:2], methods=["kd", "dkd"], seeds=1))
    begin(ledger, plan)
    record(ledger, plan, slot_of(plan, "kd", pair=PAIR), [80.0])
    record(ledger, plan, slot_of(plan, "dkd", pair="resnet14→resnet32"), [81.0])
    told = headline(leaderboard(ledger))
    assert told.endswith(": kd has the highest accuracy under 1 of 2 pairs; no row has a result under all of them.")


def test_where_no_row_has_all_pairs_the_row_is_called_as_in_print(ledger: Ledger) -> None:
    names = {"names": {"kd": "KD (Hinton)"}}
    plan = build_plan(small_spec(pairs=PAIRS[:2], methods=["kd", "dkd"], seeds=1, table=names))
    begin(ledger, plan)
    record(ledger, plan, slot_of(plan, "kd", pair=PAIR), [80.0])
    record(ledger, plan, slot_of(plan, "dkd", pair="resnet14→resnet32"), [81.0])
    assert ": KD (Hinton) has the highest accuracy under 1 of 2 pairs; " in headline(leaderboard(ledger))


@pytest.mark.parametrize("lrs", [2, 4])
def test_recipes_have_a_clause_each_and_many_are_counted(ledger: Ledger, lrs: int) -> None:
    rates = [0.05, 0.1, 0.2, 0.4][:lrs]
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": rates}, methods=["kd", "dhkd"], seeds=1))
    begin(ledger, plan)
    for slot in plan.students:
        record(ledger, plan, slot, [{"kd": 60.0, "dhkd": 59.0 if slot.recipe.endswith("0.05") else 63.0}[slot.label]])
    record(ledger, plan, plan.teachers[0], [97.0])
    told = headline(leaderboard(ledger))
    if lrs == 2:
        assert told.startswith(f"digits lr=0.05: kd, the baseline, has the highest accuracy under {PAIR}, 60.00 %")
        assert f"; digits lr=0.1: dhkd has the highest accuracy under {PAIR}, 63.00 %, 3.00 points above kd" in told
    else:
        assert told == "dhkd has the highest accuracy under 3 of 4 recipes, kd under 1."


def of_gaps(ledger: Ledger, results: dict[tuple[str, str], float]) -> str:
    """The sentence of a sweep of one seed in which rows under some pairs have no number."""
    plan = build_plan(small_spec(pairs=PAIRS, methods=["kd", "dkd"], seeds=1, table={"names": {"kd": "KD (ours)"}}))
    begin(ledger, plan)
    for (label, pair), accuracy in results.items():
        record(ledger, plan, slot_of(plan, label, pair=pair.replace(" -> ", "→")), [accuracy])
    return headline(leaderboard(ledger))


def test_where_no_row_has_all_pairs_rows_are_named_as_they_are_printed_and_all_pairs_count(ledger: Ledger) -> None:
    told = of_gaps(ledger, {("kd", PAIRS[0]): 80.0, ("dkd", PAIRS[1]): 81.0})
    assert "KD (ours) has the highest accuracy under 1 of 3 pairs; no row has a result under all of them." in told


def test_a_row_that_alone_has_all_pairs_is_not_said_to_have_nothing_beside_it(ledger: Ledger) -> None:
    told = of_gaps(ledger, dict.fromkeys([("kd", pair) for pair in PAIRS], 80.0) | {("dkd", PAIRS[0]): 81.0})
    assert told.endswith(
        "KD (ours) has the highest accuracy under 2 of 3 pairs; only KD (ours) has a result under all of them."
    )
