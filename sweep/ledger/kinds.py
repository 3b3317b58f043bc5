"""What can happen to a sweep: the kinds of the ledger's events."""

from __future__ import annotations

from typing import Literal

from sweep.ledger import checks

Kind = Literal[
    "sweep",
    "plan",
    "ask",
    "paused",
    "resumed",
    "start",
    "epoch",
    "final",
    "retrained",
    "pruned",
    "failed",
    "interrupted",
    "again",
    "former-start",
    "former-epoch",
    "former-final",
    "former-pruned",
    "former-failed",
    "former-interrupted",
    "former-paused",
    "former-resumed",
    "race",
    "chosen",
    "report",
    "stop",
]
"""What happened:

- `sweep`: a driver started on this sweep; body: spec, host, pid.
- `plan`: the spec as expanded at that start, where the last one noted is another; body: see :mod:`sweep.plan.expand`.
- `ask`: a search suggested a configuration; body: the cell, the suggestion's number and values, its slot, and with the
  first the rules by which the search asks (:data:`sweep.plan.slots.RULES`), and the points that it has `learned` of
  another one (:mod:`sweep.search.learned`).
- `paused`: a search paused a trial after an epoch, for others that promise more; body: the cell, the suggestion's
  number, and the `epoch`. What becomes of the trial meanwhile, the search does not hear.
- `resumed`: a search goes on with a trial that it had paused; body: the cell and the suggestion's number.
- `start`: a trial was handed to a worker; body: the slot's labels, the trial's config and its devices.
- `epoch`: one epoch's result; written once per trial and epoch.
- `final`: a trial ended for good (`state`: finished or diverged); written once per trial.
- `retrained`: a teacher that had ended was no longer stored, and was trained again to other weights; body: as `final`,
  which it takes the place of.
- `pruned`: a search gave the trial up after an epoch, or left it paused to its end; body: also the `cells` whose
  searches did. A confirming slot of
  the same content would run it to its end.
- `failed`: an attempt at a trial broke; body: state (see :data:`sweep.ledger.failures.Broken`), reason and log. A later
  run tries again.
- `interrupted`: the trial was stopped between its start and its end, with the sweep, by a search that paused it, or to
  make room for another; it goes on from its checkpoint.
- `again`: somebody asked for the trial once more; what was known of it bears the kinds `former-…` from then on, and
  counts no longer.
- `race`: the best of a search that has come to its end are given another seed; body: the cell, how
  many `seeds` its race has by then, and the slots of this one. What was noted of it and of later seeds counts no more.
- `chosen`: a search has come to its end, and its race, where it has one; body: the cell, what it has won, the slots
  that confirm it, and how the race went. What was noted of seeds beyond those of that race counts no more.
- `report`: tables and figures were made; body: their content.
- `stop`: the driver ended; body: its exit code.
"""

KINDS = checks.kinds_of(Kind)
FORMER = "former-"
"""How the kinds begin of what counts no longer."""
OF_TRIALS: tuple[Kind, ...] = (
    *("start", "epoch", "final", "pruned", "failed", "interrupted"),
    *("paused", "resumed"),
)
"""Those that are set aside where a trial is asked for again."""
