"""A sweep with made-up results, of which a report has something to show in every section."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.schema import Spec
from sweep.ledger.bodies import final_body, start_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from tests.support.examples import begin, epoch_body, job_of, play, record, small_spec

EVIL = '<script>alert("1")</script> & $x$'
"""A description that is to stay text."""
LIVE = 80
"""Images that the teacher is run on in each trial's first epoch; the bank serves the others."""


def diagnosed(slot: Slot, epoch: int) -> dict[str, float]:
    """Made-up diagnostics: the losses conflict in the head alone."""
    found = {"nc1": 4.0 / epoch, "nc3": 0.5, "nc4": 3.0}
    if slot.method == "dhkd":
        found |= {"conflict_backbone": 0.4 + slot.seed / 100, "conflict_head": -0.3 - slot.seed / 100, "aux_nc1": 2.0}
    if slot.method != "scratch":
        found |= {"fidelity_agreement": 80.0 + epoch, "fidelity_kl": 0.5 / epoch}
    return found


def accuracy(slot: Slot) -> float:
    """Made up: the seed, the method, DHKD's alpha, and GDKD's w2 decide."""
    gain = {"kd": 2.0, "dhkd": 3.0}.get(slot.method, 0.0)
    lost = float(slot.varied.get("w2", 0.0)) / 10 + float(slot.varied.get("alpha", 0.0)) / 5
    return 80.0 + slot.seed / 10 + gain - lost


def tell(ledger: Ledger, plan: Plan, slot: Slot) -> None:
    """A trial that finished, with diagnostics after every second epoch and the teacher run in the first alone."""
    job = job_of(plan, slot)
    ledger.append("start", job.key, body=start_body(job.slot, job.trial))
    epochs = [
        epoch_body(epoch, accuracy(slot) - 4 / epoch, accuracy(slot) - 5 / epoch)
        | {"diagnostics": diagnosed(slot, epoch) if epoch % 2 == 0 else {}, "teacher_images": LIVE if epoch == 1 else 0}
        for epoch in range(1, slot.epochs + 1)
    ]
    for epoch in epochs:
        ledger.append("epoch", job.key, epoch["epoch"], epoch)
    ledger.append("final", job.key, body=final_body("finished", epochs, plan.protocol))


def big_spec() -> Spec:
    """Two pairs, a grid, and a search that gives nothing up."""
    searched = {"gdkd": {"w2": {"range": [0.5, 16], "log": True}, "k": {"choice": [2, 3, 5]}}}
    return small_spec(
        description=EVIL,
        recipe={"base": "digits", "epochs": 4, "samples_per_class": 8},
        pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"],
        methods=["scratch", "kd", {"dhkd": {"alpha": [0.5, 1, 5], "head": "linear"}}, searched],
        seeds=2,
        search={"trials": 12, "pruner": "none"},
    )


def tell_all(ledger: Ledger) -> None:
    """Everything ends: one trial fails, one diverges, the others finish."""
    spec = big_spec()
    plan = build_plan(spec)
    play(ledger, replace(plan, slots=tuple(plan.teachers)), accuracy, side_by_side=2)
    begin(ledger, plan, spec)
    bad = {"dhkd α=5": "diverged", "dhkd α=1": "failed"}
    for slot in plan.students:
        if slot.seed == 1 and slot.label in bad and slot.pair == "resnet14→resnet8":
            record(ledger, plan, slot, [70.0], bad[slot.label])
        else:
            tell(ledger, plan, slot)
