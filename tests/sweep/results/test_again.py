"""Which trials somebody asks for again."""

from __future__ import annotations

import pytest

from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.results.again import Again
from tests.support.examples import begin, job_of, record, slot_of
from trainers.errors import InputError


@pytest.fixture
def told(ledger: Ledger, small_plan: Plan) -> Ledger:
    """Kd has finished, scratch has diverged and failed, dhkd waits."""
    begin(ledger, small_plan)
    record(ledger, small_plan, small_plan.teachers[0], [90.0, 90.0, 90.0])
    for seed in (0, 1):
        record(ledger, small_plan, slot_of(small_plan, "kd", seed), [70.0, 80.0, 90.0])
    record(ledger, small_plan, slot_of(small_plan, "scratch", 0), [70.0], state="diverged")
    record(ledger, small_plan, slot_of(small_plan, "scratch", 1), [70.0], state="failed")
    return ledger


def keys(plan: Plan, *places: tuple[str, int]) -> list[str]:
    return [job_of(plan, slot_of(plan, label, seed)).key for label, seed in places]


def test_a_method_is_all_its_trials(told: Ledger, small_plan: Plan) -> None:
    assert Again(methods=("kd",)).chosen(told) == keys(small_plan, ("kd", 0), ("kd", 1))


def test_what_went_wrong_is_what_broke_or_diverged(told: Ledger, small_plan: Plan) -> None:
    assert set(Again(failed=True).chosen(told)) == set(keys(small_plan, ("scratch", 0), ("scratch", 1)))
    with pytest.raises(InputError, match="none of these trials of 'small' has failed or diverged"):
        Again(methods=("kd",), failed=True).chosen(told)


@pytest.mark.parametrize(
    "name",
    [
        *("resnet20→resnet8 · kd · seed 1", "resnet20 -> resnet8 · kd · seed 1", "resnet20->resnet8  · kd · seed 1"),
        "resnet20->resnet8 - kd - seed 1",  # as a terminal without arrows and dots has it
    ],
)
def test_a_trial_is_called_as_the_status_calls_it(told: Ledger, small_plan: Plan, name: str) -> None:
    assert Again(trials=(name,)).chosen(told) == keys(small_plan, ("kd", 1))


def test_a_trial_is_called_by_its_key_or_how_that_begins(told: Ledger, small_plan: Plan) -> None:
    (key,) = keys(small_plan, ("kd", 1))
    assert Again(trials=(key,)).chosen(told) == Again(trials=(key[:8],)).chosen(told) == [key]


def test_a_row_is_all_its_trials_and_each_trial_is_asked_for_once(told: Ledger, small_plan: Plan) -> None:
    first, second = keys(small_plan, ("kd", 0), ("kd", 1))
    assert Again(trials=("kd", second)).chosen(told) == [first, second]
    assert Again(methods=("kd",), trials=("scratch",)).chosen(told) == [
        *[first, second],
        *keys(small_plan, ("scratch", 0), ("scratch", 1)),
    ]


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (Again(), "say what is to be done again: --method NAME, --trial NAME, or --failed"),
        (Again(methods=("kdd",)), "unknown method 'kdd'; did you mean 'kd'\\? valid: dhkd, kd, scratch"),
        (Again(methods=("teacher",)), "unknown method 'teacher'"),
        (Again(trials=("dhkd α=2",)), "unknown trial 'dhkd α=2'.*valid: dhkd α=0.5, dhkd α=1, kd, scratch; or a trial"),
        (Again(trials=("f",)), "unknown trial 'f'"),
        (Again(methods=("dhkd",)), "none of these trials of 'small' has begun; sweep run trains them"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(told: Ledger, again: Again, message: str) -> None:
    before = told.last_seq()
    with pytest.raises(InputError, match=message):
        again.chosen(told)
    assert told.last_seq() == before


def test_what_begins_again_begins_at_its_beginning(told: Ledger, small_plan: Plan, paths: SweepPaths) -> None:
    first, second = keys(small_plan, ("kd", 0), ("kd", 1))
    folders = [paths.trial(key) / "checkpoints" for key in (first, second)]
    for folder in folders:
        folder.mkdir(parents=True)
    Again(trials=(first,)).begin(paths, told)
    assert [folder.exists() for folder in folders] == [False, True]
    assert first not in told.finals()
    assert second in told.finals()
