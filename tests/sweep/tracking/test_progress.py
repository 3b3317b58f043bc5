"""How far a server was told, and what it refused."""

from __future__ import annotations

from dataclasses import replace

from sweep.ledger.store import Ledger
from sweep.tracking.progress import Progress, Refusal

URI = "http://server"
OF_ONE = Refusal("metric 'loss' of kd", "no", "one", 5)


def refused(ledger: Ledger) -> list[Refusal]:
    return Progress(ledger, URI).refused


def test_the_same_of_two_trials_are_two_refusals(ledger: Ledger) -> None:
    progress, of_another = Progress(ledger, URI), replace(OF_ONE, trial="another")
    assert progress.refuse(OF_ONE)
    assert progress.refuse(of_another)
    assert not progress.refuse(of_another)
    assert refused(ledger) == [OF_ONE, of_another]
    progress.forgive([OF_ONE])
    assert refused(ledger) == [of_another]


def test_a_later_refusal_takes_the_place_of_an_earlier_one_of_the_same(ledger: Ledger) -> None:
    progress, later = Progress(ledger, URI), replace(OF_ONE, why="not now", seq=9)
    for one, is_new in ((OF_ONE, True), (later, True), (OF_ONE, False)):
        assert progress.refuse(one) == is_new
    assert refused(ledger) == [later]
