"""What the steps of an epoch come to: losses and right answers, kept on the device and read once.

A step puts aside what it has computed anyway; every so often what lies there is put together, in a few calls for many
steps.

Shapes: `S` steps, `n` terms, `B` batch, `C` classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trainers.loop.evaluate import correct_in_top
from trainers.loop.weighing import Weighing

KEPT_NUMBERS = 1 << 20
"""Logits that are put aside before they are counted: 4 MB in single precision."""


class Tally:
    """The losses and right answers of an epoch.

    Args:
        weighing: of the epoch's terms.
        device: where they are computed.
    """

    def __init__(self, weighing: Weighing, device: torch.device) -> None:
        self._weighing = weighing
        self._names: list[str] = []
        self._terms: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._records: list[Tensor] = []
        self.correct = torch.zeros(2, dtype=torch.int64, device=device)
        """Targets that are the first, and among the first five, of their row; up to date after :meth:`records`."""

    def add(self, terms: Mapping[str, Tensor], logits: Tensor, targets: Tensor) -> None:
        """Put a step aside.

        Args:
            terms: unweighted scalars by name, the same names in every step.
            logits: ``[B, C]``.
            targets: int64 ``[B]``.
        """
        self._names = list(terms)
        self._terms += [term.detach() for term in terms.values()]
        self._logits.append(logits.detach())
        self._targets.append(targets)
        if sum(kept.numel() for kept in self._logits) >= KEPT_NUMBERS:
            self._put_together()

    @property
    def names(self) -> list[str]:
        """What the columns of :meth:`records` are."""
        return ["loss", *self._names]

    def records(self) -> Tensor:
        """The total and each term of every step, ``[S, 1 + n]``."""
        self._put_together()
        return torch.cat(self._records)

    def _put_together(self) -> None:
        if not self._terms:
            return
        terms = torch.stack(self._terms).view(-1, len(self._names))
        totals = self._weighing.totals(self._names, terms)
        self._records.append(torch.cat([totals[:, None], terms], dim=1))
        self.correct += correct_in_top(torch.cat(self._logits), torch.cat(self._targets))
        self._terms, self._logits, self._targets = [], [], []
