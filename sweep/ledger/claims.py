"""Who trains what, of several drivers that divide one plan below a root that they all see, each trial once.

All of it is files that are made once and never changed: a disk that machines share makes a hard link for one alone of
those who ask, whatever else it shows late. The claims of a trial are numbered, and the last one counts: ``KEY.0003``
names the member that has it, or nobody. Whoever takes over what a dead member had makes the next number, which only one
can; nothing is removed, so nobody can remove what another has just made.

A member is dead when its number of beats stays the same for :data:`PATIENCE_SECONDS` by the clock of who watches, or
when it ran on this machine and has ended. One that only stood still finds that others have taken over what was its own,
and ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sweep.ledger.lease import machine
from sweep.ledger.lock import alive
from sweep.ledger.once import made_once
from trainers.errors import BusyError, StorageError
from trainers.storage.files import write_atomically

_log = logging.getLogger(__name__)
BEAT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""Without a sign of life, after which a member is taken for dead."""
LOOK_SECONDS = 1.0
"""Between two looks at the claims."""
NOBODY = "nobody"
"""In the place of a member that has given a trial back."""


class Claims:
    """What one member has claimed, and what it sees of the others; it is one for the time of the block.

    Args:
        folder: where all members of a sweep have their claims.
        spec: what it runs, as text.

    Raises:
        StorageError: from any method, when that cannot be read or written.
    """

    def __init__(self, folder: Path, spec: str = "") -> None:
        self._claims, self._members = folder / "claims", folder / "members"
        self.spec = hashlib.sha256(spec.encode()).hexdigest()
        """Of what it runs, which is the same of all members at work."""
        self.id = uuid.uuid4().hex
        self._beats = 0
        self._mine: set[str] = set()
        self._seen: dict[str, tuple[Any, float]] = {}
        """What was last heard of each member, and since when it has not changed."""
        self._known: dict[str, int] = {}
        self._looked = 0.0
        self._lost = ""
        self._trains = True
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Claims:
        self._beat()
        self._claims.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._go_on_beating, name="claims", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with suppress(StorageError):  # the others then wait for their patience
            for key in list(self._mine):
                self.give_back(key)
            self._beat(over=True)

    def is_lost(self) -> str:
        """Why this member has to end, as a message; empty while it need not."""
        return self._lost

    def lose(self) -> None:
        """Let this member end, since others have taken over what it trained."""
        self._lost = (
            f"nothing was heard of this process for {PATIENCE_SECONDS:.0f} s, and others have taken over what it"
            " trained: it ends"
        )

    def take(self, key: str) -> bool:
        """Claim a trial (or whatever has a name); whether it is ours now, as it may have been before."""
        number, owner = self._last(key)
        if owner == self.id:
            return True
        if owner is not None and owner != NOBODY and not self._is_dead(owner):
            return False
        with self._lock:
            made = made_once(self._path(key, number + 1), self.id.encode())
            if made:
                self._mine.add(key)
        self._known[key] = number + 1
        return made

    def has(self, key: str) -> bool:
        """Whether a trial is ours, as the disk has it now."""
        number, owner = self._last(key)
        return owner == self.id and not self._path(key, number + 1).exists()

    def took_over(self, key: str) -> bool:
        """Whether what is ours was another's, who was silent and has not given it back."""
        number, owner = self._last(key)
        if owner != self.id or number == 0:
            return False
        return self._owner(key, number - 1) not in (NOBODY, self.id)

    def done(self, key: str) -> None:
        """A trial has ended, so that nobody needs to have it any more."""
        with self._lock:
            self._mine.discard(key)

    def give_back(self, key: str) -> None:
        """Let another member have what is ours."""
        with self._lock:
            self._mine.discard(key)
        number, owner = self._last(key)
        if owner == self.id:
            made_once(self._path(key, number + 1), NOBODY.encode())
            self._known[key] = number + 1

    @contextmanager
    def alone(self, key: str, look: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Have something for the time of the block; waits until no other member has it.

        Args:
            key: what.
            look: called while it waits, and may raise.
        """
        while not self.take(key):
            look()
            time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            self.give_back(key)

    # -- claims -------------------------------------------------------------------------------------------------------

    def _path(self, key: str, number: int) -> Path:
        return self._claims / f"{key}.{number:04d}"

    def _last(self, key: str) -> tuple[int, str | None]:
        """The last claim's number, and who made it; -1 and None where there is none."""
        if time.monotonic() - self._looked > LOOK_SECONDS or not self._looked:
            self._look()
        number = self._known.get(key, -1)
        if number < 0:
            return -1, None
        return number, self._owner(key, number)

    def _owner(self, key: str, number: int) -> str:
        try:
            return self._path(key, number).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise StorageError(f"cannot read {self._path(key, number)}: {error.strerror}") from error

    def _look(self) -> None:
        known: dict[str, int] = dict(self._known)  # what was made a moment ago may not be listed yet
        try:
            names = [path.name for path in self._claims.iterdir()]
        except OSError as error:
            raise StorageError(f"cannot read {self._claims}: {error.strerror}") from error
        for name in names:
            key, _, number = name.rpartition(".")
            if key and number.isdecimal():
                known[key] = max(known.get(key, -1), int(number))
        self._known, self._looked = known, time.monotonic()

    # -- members ------------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Say that there is nothing more that this member could train."""
        self._trains = False
        self._beat()

    def refuse_another_spec(self, name: str) -> None:
        """Raises BusyError where a member that is alive runs another spec under the sweep's name."""
        for other in self._members.glob("[!.]*.json"):
            said = self._said(other.stem)
            if said is not None and said.get("spec") != self.spec and not self._is_dead(other.stem):
                raise BusyError(
                    f"sweep '{name}' is being divided by {_who(said)} by another spec (or an earlier text of this one):"
                    " wait for it, stop it first, or give this spec another name"
                )

    def others_train(self) -> bool:
        """Whether another member is alive and may yet end a trial, or give one back."""
        return any(self._others_training())

    def training(self) -> int:
        """How many members train, this one included."""
        return 1 + sum(self._others_training())

    def _others_training(self) -> Iterator[bool]:
        """Of each other member that is alive, whether it does."""
        others = (path.stem for path in self._members.glob("[!.]*.json") if path.stem != self.id)
        return ((self._said(other) or {}).get("trains", True) for other in others if not self._is_dead(other))

    def _beat(self, *, over: bool = False) -> None:
        self._beats += 1
        said = {"host": socket.gethostname(), "pid": os.getpid(), "machine": machine(), "beats": self._beats}
        said |= {"spec": self.spec, "trains": self._trains, "over": over}
        write_atomically(self._members / f"{self.id}.json", json.dumps(said).encode(), durable=False)

    def _go_on_beating(self) -> None:
        while not self._over.wait(BEAT_SECONDS) and not self._lost:
            try:
                self._check_mine()
                self._beat()
            except StorageError as error:
                _log.warning("%s; going on", error)

    def _check_mine(self) -> None:
        """Notice that others have taken over what was ours, or the whole sweep, while this process stood still."""
        with self._lock:
            mine = set(self._mine)
        taken = {key for key in mine if not self.has(key)}
        with self._lock:
            if self._mine & taken or (self._said(self.id) or {}).get("over"):
                self.lose()

    def others_at_work(self, note: Callable[[str], None]) -> str:
        """One of those that are at work, as a message names it; empty where none is. Listens for
        :data:`PATIENCE_SECONDS` where one has ended on another machine without a word, and takes it for dead then.

        Args:
            note: is told whom we wait for.
        """
        living = {path.stem: self._said(path.stem) for path in self._members.glob("[!.]*.json")}
        living = {member: said for member, said in living.items() if not self._is_dead(member)}
        end = time.monotonic() + PATIENCE_SECONDS
        for said in list(living.values())[:1]:
            if said is not None and said.get("machine") != machine():
                note(f"{_who(said)} divided this sweep; listening for {PATIENCE_SECONDS:.0f} s whether it still does")
        while living and time.monotonic() < end:
            for member, before in living.items():
                said = self._said(member)
                here = said is not None and said.get("machine") == machine()
                if said is not None and (here or said != before) and not said.get("over"):
                    return _who(said)
            time.sleep(LOOK_SECONDS)
        for member, said in living.items():
            path = self._members / f"{member}.json"
            write_atomically(path, json.dumps((said or {}) | {"over": True}).encode(), durable=False)
        return ""

    def _is_dead(self, member: str) -> bool:
        said = self._said(member)
        if said is not None and said.get("over"):
            return True
        if said is not None and said.get("machine") == machine() and not alive(int(said["pid"])):
            return True
        before, since = self._seen.get(member, (None, 0.0))
        now = time.monotonic()
        if member not in self._seen or before != said:
            self._seen[member] = said, now
            return False
        return now - since > PATIENCE_SECONDS

    def _said(self, member: str) -> dict[str, Any] | None:
        """What a member says of itself; None where that cannot be read at this moment."""
        try:
            said = json.loads((self._members / f"{member}.json").read_text(encoding="utf-8"))
            return said if isinstance(said, dict) and isinstance(said.get("pid"), int) else None
        except (OSError, ValueError):
            return None


def _who(said: dict[str, Any]) -> str:
    """A member, as a message names it."""
    return f"process {said['pid']} on {said.get('host')}"


def refuse_where_divided(folder: Path, name: str, note: Callable[[str], None]) -> None:
    """Refuse to run a sweep that members divide at this moment: one driver would train their trials as well.

    Args:
        folder: where its members have their claims.
        name: the sweep's.
        note: as of :meth:`Claims.others_at_work`.

    Raises:
        BusyError: where one of them is at work.
    """
    who = Claims(folder).others_at_work(note) if folder.is_dir() else ""
    if who:
        raise BusyError(
            f"sweep '{name}' is being run by several that divide it, such as {who}: wait for them, stop them first, or"
            " join them with --divide"
        )
