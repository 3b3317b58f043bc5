"""What the report of a large sweep costs: exact counts, at two sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.cost.prices import device_seconds
from sweep.ledger import checks
from sweep.ledger.bodies import start_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.report import sensitivity, style
from sweep.report.history import History, read
from sweep.report.page import page
from sweep.statistics import noise
from tests.support.examples import begin, epoch_body, job_of, record, small_spec

PAIRS = ["resnet14 -> resnet8", "resnet20 -> resnet8", "resnet32 -> resnet8", "resnet44 -> resnet8"]


def ran(ledger: Ledger, alphas: int, pairs: int = 1) -> Plan:
    """A sweep that has finished: alphas at two temperatures, with three seeds each."""
    kd = {"kd": {"alpha": [(1 + place) / alphas for place in range(alphas)], "temperature": [2, 4]}}
    plan = build_plan(small_spec(methods=["scratch", kd], pairs=PAIRS[:pairs], seeds=3))
    begin(ledger, plan)
    for place, slot in enumerate(plan.slots):
        record(ledger, plan, slot, [50.0 + (7 * place) % 11 + epoch for epoch in range(slot.epochs)])
    return plan


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Of 30 alphas under four pairs."""
    with Ledger(tmp_path_factory.mktemp("large") / "ledger.db") as ledger:
        ran(ledger, 30, pairs=4)
        return read(ledger)


def test_each_epoch_is_read_once_by_as_many_statements_however_many_trials_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements, whole = [], checks.is_whole

    def counted(row: Sequence[Any], kinds: frozenset[str]) -> bool:
        seen[row[2]] += 1
        return whole(row, kinds)

    for alphas in (2, 8):
        seen, asked = Counter[str](), list[str]()
        with Ledger(tmp_path / f"{alphas}.db") as ledger, monkeypatch.context() as patch:
            plan = ran(ledger, alphas)
            patch.setattr(checks, "is_whole", counted)
            ledger._db.set_trace_callback(asked.append)
            read(ledger)
        assert seen["epoch"] == plan.epochs
        statements.append(len(asked))
    assert statements[0] == statements[1]


def test_what_a_sweep_cost_is_what_prices_say_whatever_came_of_its_trials(ledger: Ledger) -> None:
    plan = ran(ledger, 2)
    ledger.set_aside([job_of(plan, plan.students[0]).key])  # its epochs were paid for
    ledger.append("plan", body=plan.to_json() | {"compute": plan.compute | {"cpus": 3}})
    job = job_of(plan, plan.students[0])
    for devices, epoch in ((None, 1), (0.5, 2)):
        ledger.append("start", job.key, body=start_body(job.slot, job.trial, devices))
        ledger.append("epoch", job.key, epoch, epoch_body(epoch, 50.0))
    cost = read(ledger).effort.device_seconds
    assert cost == device_seconds(ledger)
    assert cost == 2.0 * plan.epochs + 2.0 * 3 + 2.0 * 0.5


@pytest.mark.parametrize("at_once", [1, 5])
def test_it_does_not_matter_how_many_epochs_are_read_at_once(
    ledger: Ledger, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ran(ledger, 2)
    ledger.set_aside([job_of(plan, plan.students[0]).key])
    job = job_of(plan, plan.students[0])
    for devices, epoch, images in ((None, 1, 5), (0.5, 2, 0)):
        ledger.append("start", job.key, body=start_body(job.slot, job.trial, devices))
        system = {"gpu": {"mean": 10.0 * epoch, "peak": 20.0 * epoch}}
        body = epoch_body(epoch, 50.0) | {"teacher_images": images, "system": system, "diagnostics": {"nc1": 0.1}}
        ledger.append("epoch", job.key, epoch, body)
    whole = read(ledger)
    monkeypatch.setattr("sweep.ledger.store.AT_ONCE", at_once)
    parts = read(ledger)
    for one, other in zip(whole.configurations, parts.configurations, strict=True):
        assert one.curves == other.curves
    assert replace(whole.effort, use=parts.effort.use) == parts.effort
    assert vars(whole.effort.use) == vars(parts.effort.use)
    assert (whole.effort.use.peak("gpu"), whole.effort.use.epochs) == (40.0, 2)
    assert whole.dates == parts.dates


@pytest.mark.slow(7)
def test_figures_are_kept_where_somebody_prints_them(told: History) -> None:
    text, pictures = page(told, prints=False)
    assert pictures
    assert all(picture.figure is None for picture in pictures)
    with style.drawing(), pytest.raises(ValueError, match="for the page alone"):
        pictures[0].printed("png")
    assert text.count("<svg") == len(pictures)


@pytest.mark.slow(5)
def test_the_lines_of_many_pairs_share_their_figures_and_all_are_judged(told: History) -> None:
    with style.drawing():
        studio = style.Studio(prints=False)
        section = sensitivity.section(told, studio)
    assert section is not None
    drawn = Counter(picture.name.split("-")[1] for picture in studio.pictures)
    assert drawn["temperature"] == 4 * 5  # of those of each pair and of all together, which would have five each
    assert section.markup.count(" the means span ") == 5 * (30 + 2)


def test_the_noise_of_a_column_is_found_once_for_all_lines_that_are_judged(
    told: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list[int]()
    plain = noise.noise
    monkeypatch.setattr(noise, "noise", lambda tables: found.append(tables.shape[1]) or plain(tables))
    judge = sensitivity.Judge(told)
    of_pairs = [line for line in sensitivity.lines(told.configurations) if line.pair != sensitivity.POOLED]
    verdicts = [judge.verdict(line) for line in of_pairs]
    assert len(verdicts) == 4 * (30 + 2)
    assert found == [61] * 4
