"""Who drives a sweep of a storage: one driver at a time, on whatever machine it runs.

Object stores have no locks, and Arrow's file systems, by which we speak to them, no write that fails where a file is
there. All that is asked of a storage is what S3, Google's and Azure's stores and file systems promise: who lists a
folder after a write has ended sees what was written.

So a driver that wants to begin writes a **claim**, under a name of its own, and lists the others after that. Of two
that do so at once one at least sees the other, and three rules leave exactly one: who sees a claim that is held, or
one of a lower name, withdraws its own; who sees higher names waits until each has been withdrawn or is held; who sees
none holds its own, and lists once more. A held claim is written anew every :data:`BEAT_SECONDS`. One that is silent
for :data:`PATIENCE_SECONDS`, by the clock of who listens, is a dead driver's, and is removed by the next that holds
one. A driver that was only cut off finds its claim gone, or one of a later term, and ends.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from sweep.layout import Root
from sweep.ledger.label import LONGEST_PATIENCE, Label, Seconds
from sweep.ledger.lock import alive
from trainers.errors import BusyError, StorageError
from trainers.storage.files import write_atomically

_log = logging.getLogger(__name__)
BEAT_SECONDS = 10.0
PATIENCE_SECONDS = 45.0
"""Without a sign of life, after which a driver is taken for dead."""
POLL_SECONDS = 0.5
READS, READ_PAUSE_SECONDS = 3, 0.2
"""Of a claim that cannot be read, or is none: it may have changed meanwhile."""
NAME = re.compile(r"[0-9a-f]{32}\.json")
_HERE: set[str] = set()
"""The claims of this very process that are not withdrawn."""


@dataclass(frozen=True)
class Claim:
    """What a driver says of itself. Whoever writes to the storage may have written it, so each field is checked."""

    host: Annotated[str, Field(pattern=r"^\P{Cc}+$", max_length=255)]
    pid: Annotated[int, Field(ge=1, lt=2**31)]
    machine: Annotated[str, Field(pattern=r"^\P{Cc}+$", max_length=255)]
    """Within which the process number is one process's (:func:`machine`)."""
    beat: Seconds
    """When it was written, by the driver's clock; another number is another sign of life."""
    patience: Annotated[Seconds, Field(le=LONGEST_PATIENCE)]
    """Seconds without a beat after which the driver is taken for dead."""
    held: bool
    """Whether it drives, or only wants to."""
    term: Annotated[int, Field(ge=0, lt=2**63)]
    """Higher than that of any claim which was there before."""

    @property
    def who(self) -> str:
        """As a message names it."""
        return f"process {self.pid} on {self.host}"


Others = dict[str, Claim]
_CLAIM = TypeAdapter(Claim)


@lru_cache(maxsize=1)
def machine() -> str:
    """What two processes have in common that see each other's numbers: the start of the system, and the namespace of
    process numbers; two containers may share the name of their host."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()}"


class Lease:
    """The right to drive one sweep of a storage; without a storage there is nobody to share it with.

    Args:
        root: whose storage it is.
        name: the sweep's.
    """

    def __init__(self, root: Root, name: str) -> None:
        self._root, self._name = root, name
        self._folder = root.sweep(name).drivers
        self.id = uuid.uuid4().hex
        self._lost = ""
        self._term = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, note: Callable[[str], None], label: Callable[[], Label | None] = lambda: None) -> None:
        """Become the sweep's driver; takes a moment, or the patience of one that has ended without saying so.

        Args:
            note: is told whom we wait for.
            label: reads that of the storage's snapshot: drivers of earlier releases give no other sign of life.

        Raises:
            BusyError: when another driver is at work, or begins at this moment and comes first.
            StorageError: when the storage does not answer.
        """
        if not self._root.storage.uri:
            return
        dead = self._listen(note, label)
        _HERE.add(self.id)
        try:
            self._put(held=False)
            self._outlast(dead)
            self._put(held=True)
            self._refuse(claim for claim in self._unknown(dead).values() if claim.held)
        except BaseException:
            self._withdraw()
            raise
        for other in dead:
            self._root.storage.remove(self._path(other))
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let another driver begin at once."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        try:
            self._withdraw()
        except StorageError as error:  # another machine's driver then waits for its patience
            _log.warning("%s", error)

    def is_lost(self) -> str:
        """Why it is not ours any more, as a message; empty while it is."""
        return self._lost

    # -- before -------------------------------------------------------------------------------------------------------

    def _listen(self, note: Callable[[str], None], label: Callable[[], Label | None]) -> Others:
        """The claims that nobody stands behind any more, as they were last. Raises BusyError for a sign of life."""
        others, said = self._others(), label()
        silent = {other: claim for other, claim in others.items() if not _is_lost(other, claim)}
        old = said if said is not None and not (said.over or said.is_lost) else None
        heard = [(claim.patience, claim.who) for claim in silent.values()] + ([(old.patience, old.who)] if old else [])
        patience, who = max(heard, default=(0.0, ""))
        if who:
            note(f"{who} ran this sweep last; listening for {patience:.0f} s whether it still does")
        end = time.monotonic() + patience
        while patience and time.monotonic() < end:
            time.sleep(min(POLL_SECONDS, max(end - time.monotonic(), 0)))
            now = self._others()
            self._refuse(claim for other, claim in now.items() if _beats(claim, silent.get(other)))
            self._refuse_label(old, label())
            silent = {other: claim for other, claim in silent.items() if other in now}
            if not silent and (old is None or _has_ended(old, label())):
                break
        return others

    def _refuse_label(self, before: Label | None, now: Label | None) -> None:
        if before is not None and now is not None and now.beat != before.beat and not now.over:
            raise BusyError(self._is_running(now.who))

    def _outlast(self, dead: Others) -> None:
        """Wait until nobody else wants to begin; those that are found dead meanwhile are added to the `dead`."""
        first: dict[tuple[str, Claim], float] = {}
        put = time.monotonic()
        while others := self._unknown(dead):
            self._refuse(claim for claim in others.values() if claim.held)
            self._refuse((claim for other, claim in others.items() if other < self.id), begins=True)
            time.sleep(POLL_SECONDS)
            now = time.monotonic()
            for other, claim in others.items():
                silence = now - first.setdefault((other, claim), now)
                if _is_lost(other, claim) or silence > claim.patience:
                    dead[other] = claim
            if now - put > BEAT_SECONDS:
                self._put(held=False)
                put = now

    def _unknown(self, dead: Others) -> Others:
        """Those that are not known to be dead, or have given a sign of life since."""
        return {other: claim for other, claim in self._others().items() if dead.get(other) != claim}

    def _refuse(self, claims: Iterable[Claim], *, begins: bool = False) -> None:
        for claim in claims:
            if begins:
                raise BusyError(
                    f"sweep '{self._name}' is being started at this moment by {claim.who} as well, which came first:"
                    " wait for it, or stop it first"
                )
            raise BusyError(self._is_running(claim.who))

    def _is_running(self, who: str) -> str:
        return f"sweep '{self._name}' is already running: {who}. Wait for it, or stop it first"

    # -- while it is held ---------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS) and not self._lost:
            try:
                self._look()
            except StorageError as error:
                _log.warning("%s; going on", error)

    def _look(self) -> None:
        """Give a sign of life, unless somebody has taken the sweep over."""
        others = self._others()
        later = [claim for claim in others.values() if claim.held and claim.term > self._term]
        if later or not self._root.storage.has(self._path(self.id)):
            by = f"{later[0].who} has taken it over" if later else "somebody has taken it over"
            self._lost = (
                f"nothing was heard of this driver of sweep '{self._name}' for {PATIENCE_SECONDS:.0f} s, and {by}: this"
                " one ends"
            )
        else:
            self._put(held=True)

    # -- claims in the storage ----------------------------------------------------------------------------------------

    def _path(self, claim: str) -> Path:
        return self._folder / f"{claim}.json"

    def _put(self, *, held: bool) -> None:
        if not self._term:
            self._term = max([int(time.time()), *(claim.term + 1 for claim in self._others().values())])
        claim = Claim(socket.gethostname(), os.getpid(), machine(), time.time(), PATIENCE_SECONDS, held, self._term)
        path = self._path(self.id)
        write_atomically(path, json.dumps(asdict(claim)).encode(), durable=False)
        try:
            self._root.storage.push(path, anew=True)
        finally:
            path.unlink(missing_ok=True)

    def _withdraw(self) -> None:
        _HERE.discard(self.id)
        self._root.storage.remove(self._path(self.id))

    def _others(self) -> Others:
        names = [name for name in self._root.storage.sizes(self._folder) if NAME.fullmatch(name)]
        claims = {name.removesuffix(".json"): self._read(self._folder / name) for name in sorted(names)}
        return {name: claim for name, claim in claims.items() if claim is not None and name != self.id}

    def _read(self, path: Path) -> Claim | None:
        """A claim; None where it was withdrawn. It may change while it is read."""
        for _ in range(READS - 1):
            try:
                return self._claim(path)
            except StorageError:
                time.sleep(READ_PAUSE_SECONDS)
        return self._claim(path)

    def _claim(self, path: Path) -> Claim | None:
        content = self._root.storage.read(path)
        try:
            return None if content is None else _CLAIM.validate_json(content, strict=True)
        except ValidationError as error:
            raise StorageError(
                f"the storage {self._root.storage.uri} has a damaged claim of a driver of sweep '{self._name}'; where"
                f" no driver runs, remove {path.relative_to(self._root.path)} there"
            ) from error


def _is_lost(other: str, claim: Claim) -> bool:
    """Whether a claim's driver ran on this machine, and has ended without a word."""
    here = claim.machine == machine()
    return here and (other not in _HERE if claim.pid == os.getpid() else not alive(claim.pid))


def _beats(now: Claim, before: Claim | None) -> bool:
    """Whether somebody is at work: a claim is held, and is another than a moment ago."""
    return now.held and before is not None and now.beat != before.beat


def _has_ended(before: Label, now: Label | None) -> bool:
    return now is None or (now.beat != before.beat and now.over)
