"""What the epochs of a sweep took of the machines that they ran on, as far as they were measured."""

from __future__ import annotations

import numpy as np

from sweep.engine.meter import GPU_POWER
from sweep.report.blocks import SYSTEM, Block


class Use:
    """Adds up epochs: means weighed by their device seconds, and peaks. :mod:`sweep.engine.meter` has the names.

    An epoch is measured in the process that leads its trial. Of a trial on several devices the others are taken to do
    as that one's does, and of one that has a share of a GPU that share counts.
    """

    def __init__(self) -> None:
        self.epochs = 0
        """Those that were measured."""
        self._sums: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._peaks: dict[str, float] = {}

    def note(self, block: Block) -> None:
        """Take over some epochs."""
        measured = np.zeros(len(block.trials), bool)
        for name, values in block.part(SYSTEM).items():
            reading, _, which = name.rpartition(".")
            known = ~np.isnan(values)
            measured |= known
            if which == "mean":
                seconds = block.numbers["seconds"][known] * block.devices[known]
                self._sums[reading] = self._sums.get(reading, 0.0) + float(values[known] @ seconds)
                self._seconds[reading] = self._seconds.get(reading, 0.0) + float(seconds.sum())
            elif values[known].max(initial=0.0) > self._peaks.get(reading, 0.0):
                self._peaks[reading] = float(values[known].max())
        self.epochs += int(measured.sum())

    def mean(self, name: str) -> float | None:
        """Of a reading over the device seconds in which it was measured; None where it never was."""
        seconds = self._seconds.get(name, 0.0)
        return self._sums[name] / seconds if seconds else None

    def peak(self, name: str) -> float | None:
        """The highest of a reading; None where it never was measured."""
        return self._peaks.get(name)

    @property
    def watt_hours(self) -> float | None:
        """That the GPUs took in the epochs whose power was measured; None where there is none."""
        return self._sums[GPU_POWER] / 3600 if GPU_POWER in self._sums else None
