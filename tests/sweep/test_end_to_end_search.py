"""A search through the command that a user types: broken off and gone on with, and with a larger budget."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sweep import leaderboard
from sweep.formats import Format
from sweep.ledger import Ledger
from tests.sweep.command import User

pytestmark = pytest.mark.slow

SEARCH = """\
name: small
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 4, warmup_epochs: 0, samples_per_class: 20}
teachers: {recipe: {samples_per_class: null, epochs: 2}}
pairs: [resnet14 -> resnet8]
methods: [kd, {gdkd: {w2: {range: [0.5, 16], log: true}, k: {choice: [3, 5]}}}]
seeds: 2
search: {trials: 4, pruner: asha, grace: 1, reduction: 2, deterministic: true}
tracking: {models: none}
"""


def asks(user: User) -> list[tuple[str | None, dict[str, Any]]]:
    return [(event.trial, event.body) for event in user.events("ask")]


def table(user: User) -> str:
    """The leaderboard as JSON."""
    with closing(Ledger(user.root.sweep("small").ledger)) as ledger:
        return leaderboard.render(leaderboard.leaderboard(ledger), Format.JSON)


def test_a_search_that_was_killed_and_extended_is_the_search_that_nobody_disturbed(tmp_path: Path) -> None:
    undisturbed, killed = User(tmp_path / "undisturbed", SEARCH), User(tmp_path / "killed", SEARCH)
    beside, process = undisturbed.start("run", "spec.yaml"), killed.start("run", "spec.yaml")
    killed.wait_for(lambda: len(killed.events("ask")) >= 2 and killed.events("epoch")[-1].epoch in (1, 2), process)
    os.kill(process.pid, signal.SIGKILL)
    killed.end(process)
    assert len(asks(killed)) < 4
    done = undisturbed.end(beside)
    assert done.code == 0, done.out + done.err
    (tuned,) = [row for row in json.loads(table(undisturbed)) if row["label"] == "gdkd tuned"]
    assert (tuned["n"], tuned["missing"]) == (2, 0)
    assert "the best of 4" in tuned["tuned"]

    over = {event.trial for event in killed.events("final")}
    before = killed.events()[-1].seq
    done = killed.sweep("run", "spec.yaml")
    assert done.code == 0, done.out + done.err
    assert not over & {event.trial for event in killed.events("start") if event.seq > before}
    assert asks(killed) == asks(undisturbed)
    assert table(killed) == table(undisturbed)
    assert [event.trial for event in killed.events("pruned")] == [e.trial for e in undisturbed.events("pruned")]

    before = killed.events()[-1].seq
    done = killed.sweep("run", "spec.yaml")
    assert done.code == 0, done.out + done.err
    assert killed.events()[-1].seq == before

    killed.write(SEARCH.replace("trials: 4", "trials: 6"))
    done = killed.sweep("run", "spec.yaml")
    assert done.code == 0, done.out + done.err
    assert asks(killed)[:4] == asks(undisturbed)
    assert [body["number"] for _, body in asks(killed)[4:]] == [4, 5]
    new = [event for event in killed.events("start") if event.seq > before]
    assert {event.trial for event in new if event.body["stage"] == "search"} == {trial for trial, _ in asks(killed)[4:]}
    assert not {event.trial for event in new} & over
