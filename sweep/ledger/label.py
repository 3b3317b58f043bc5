"""The label beside the storage's snapshot of a ledger: how far it goes, and whose driver made it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter

from sweep.ledger.lock import alive

LONGEST_PATIENCE = 86_400.0
"""Seconds. A snapshot that takes an hour asks for less than a day (see :class:`sweep.ledger.snapshot.Keeper`)."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Label:
    """What stands beside a snapshot. Whoever writes to the storage may have written it, so each field is checked when
    it is read: a path is made of its name, and its text is shown."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """The ledger's."""
    file: Annotated[str, Field(pattern=r"^[0-9]{9,18}-[0-9a-f]{8}\.db$")]
    """The snapshot's name: that of no other one, since a file that changed while it was fetched might arrive mixed."""
    seq: Annotated[int, Field(ge=0, lt=2**63)]
    """Of the last event that is in the snapshot for certain; 0 where there is none."""
    time: Seconds
    """Of that event."""
    host: Annotated[str, Field(pattern=r"^\P{Cc}+$", max_length=255)]
    pid: Annotated[int, Field(ge=1, lt=2**31)]
    beat: Seconds
    """When the driver wrote this, by its clock; another number is another sign of life."""
    patience: Annotated[Seconds, Field(le=LONGEST_PATIENCE)]
    """Seconds without a beat after which the driver is taken for dead."""
    over: bool
    """Whether the driver has ended."""

    @property
    def who(self) -> str:
        """The driver, as a message names it."""
        return f"process {self.pid} on {self.host}"

    @property
    def is_lost(self) -> bool:
        """Whether its driver ran on this machine, and has ended without saying so."""
        return self.host == socket.gethostname() and (self.pid == os.getpid() or not alive(self.pid))


_LABEL = TypeAdapter(Label)


def read_label(content: bytes) -> Label:
    """The label in a file. Raises pydantic.ValidationError for one that no driver writes."""
    return _LABEL.validate_json(content, strict=True)
