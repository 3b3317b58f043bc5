"""Sweeps as jobs of a running Ray cluster: submit one, see how it goes, read its log, cancel it.

Ray keeps the jobs: it starts each on the cluster's head (where :func:`carried` is called), holds its log and tells its
state. All that travels there is the spec's text, and as a package of Ray's the code that it names; where results go and
how MLflow is reached is the head's business, and no secret is part of a job. The token that lets one in is Ray's own,
found where Ray looks for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from search_spaces.schema import Spec
from sweep.cluster.carried import CARRIED, packed
from sweep.cluster.parcel import laid_out
from sweep.exit_codes import DONE, INTERRUPTED, SOME_FAILED, STATES
from sweep.text import duration, without_password
from trainers.errors import BusyError, InputError, unknown_name

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

STOP_SECONDS = 120
"""What a cancelled sweep gets to end its epochs in flight and to tell MLflow, before it is killed."""
STOP = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
"""How Ray is to end a job: as Ctrl-C does."""
PROBE_SECONDS = 10.0
POLL_SECONDS = 0.5
GRACE_SECONDS = 15
"""After :data:`STOP_SECONDS`, for Ray to note that the job has ended."""
TRIES = 5
"""At a job's number, where somebody else takes the same at the same moment."""
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
LIVE = ("waiting", "running")


@dataclass(frozen=True)
class SweepJob:
    """A job of Ray's that runs a sweep; a sweep that was submitted again has several."""

    id: str
    """``digits-alpha-3``"""
    sweep: str
    """The sweep's name."""
    state: str
    """waiting, running, cancelled, failed, or one of :data:`sweep.exit_codes.STATES`."""
    started: float
    """Seconds since 1970."""
    ended: float | None
    code: int | None
    """The sweep's exit code, once it has ended by itself."""

    @property
    def live(self) -> bool:
        """Whether it has not come to an end."""
        return self.state in LIVE

    @property
    def took(self) -> str:
        """How long it ran, or runs by now, as a person says it: ``3:20 min``; nothing where a clock was set back."""
        return duration(max(0.0, (self.ended or time.time()) - self.started))

    @property
    def since(self) -> str:
        """When it was started, in local time: ``2026-01-31 18:05:00``."""
        return datetime.fromtimestamp(self.started).isoformat(sep=" ", timespec="seconds")

    def row(self) -> dict[str, Any]:
        """For a listing."""
        return {"job": self.id, "sweep": self.sweep, "state": self.state, "started": self.since, "took": self.took}


class Cluster:
    """The sweeps of one cluster.

    Args:
        address: of its job server, ``http://host:8265``.

    Raises:
        InputError: here and in all methods, when the cluster does not answer or does not let one in.
    """

    def __init__(self, address: str) -> None:
        _check_answers(address)
        _offer_token()
        self.address = without_password(address.rstrip("/"))
        """As it may be shown."""
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # or Ray would prefer its own variables to what we ask for
        from ray.job_submission import JobSubmissionClient

        with self._explained():
            self._client: JobSubmissionClient = JobSubmissionClient(address)

    def jobs(self, sweep: str | None = None) -> list[SweepJob]:
        """All sweeps' jobs that this head has seen, or those of one sweep; the first started first."""
        with self._explained():
            details = [some for some in self._client.list_jobs() if (some.metadata or {}).get("sweep")]
        jobs = (_job(some) for some in details)
        return sorted((job for job in jobs if sweep in (None, job.sweep)), key=lambda job: job.started)

    def find(self, name: str | None) -> SweepJob:
        """A sweep's last job, a job by its id, or the last of all. Raises InputError where there is none."""
        jobs = self.jobs()
        if not jobs:
            raise InputError(f"no sweep was submitted to {self.address} since it was started")
        wanted = [job for job in jobs if name in (None, job.sweep)] or [job for job in jobs if job.id == name]
        if not wanted:
            raise InputError(f"on {self.address}: {unknown_name('sweep', name, {job.sweep for job in jobs})}")
        return wanted[-1]

    def submit(self, spec: Spec) -> SweepJob:
        """Start a sweep, or let it go on, and return at once.

        Raises:
            BusyError: when it runs there already.
            InputError: when it is too long for a job.
        """
        jobs = self.jobs(spec.name)
        self._check_ended(jobs)
        first = 1 + max((_number(job) for job in jobs), default=0)
        with laid_out(spec.code) as folders:
            environment = {"env_vars": STOP | {CARRIED: packed(spec)}} | ({"py_modules": folders} if folders else {})
            for number in range(first, first + TRIES):
                try:
                    return self._start(f"{spec.name}-{number}", spec.name, environment)
                except InputError as error:
                    if "already exists" not in str(error):
                        raise
        raise BusyError(f"sweep '{spec.name}' is being submitted to {self.address} by others")

    def _check_ended(self, jobs: list[SweepJob]) -> None:
        """Raises BusyError where one of a sweep's jobs has not come to its end."""
        for job in jobs:
            if job.live:
                raise BusyError(
                    f"sweep '{job.sweep}' is {job.state} on {self.address} already, as {job.id} since {job.since};"
                    f" to start it anew, first: sweep cancel {job.sweep}"
                )

    def _start(self, name: str, sweep: str, environment: dict[str, Any]) -> SweepJob:
        """Raises InputError where there is a job of that name."""
        with self._explained():
            self._client.submit_job(
                entrypoint="sweep submitted",
                submission_id=name,
                runtime_env=environment,
                metadata={"sweep": sweep},
            )
        return self._look_up(name)

    def log(self, job: SweepJob) -> str:
        """What a job has printed."""
        with self._explained():
            return str(self._client.get_job_logs(job.id))

    def follow(self, job: SweepJob, show: Callable[[str], None]) -> int:
        """Show what a job has printed, and what it prints, until it ends; the sweep's exit code."""

        async def read() -> None:
            async for lines in self._client.tail_job_logs(job.id):
                show(lines)

        with self._explained():
            asyncio.run(read())
        ended = self._wait(job, GRACE_SECONDS)
        if ended.live:
            raise InputError(f"the connection to {self.address} was lost; {job.id} goes on: sweep logs -f {job.id}")
        return ended.code if ended.code is not None else INTERRUPTED if ended.state == "cancelled" else SOME_FAILED

    def cancel(self, name: str | None) -> SweepJob:
        """Stop a sweep as Ctrl-C does, and wait until it has ended. Raises InputError where it does not run."""
        job = self.find(name)
        if not job.live:
            raise InputError(f"sweep '{job.sweep}' does not run on {self.address}: {job.id} is {job.state}")
        with self._explained():
            self._client.stop_job(job.id)
        ended = self._wait(job, STOP_SECONDS + GRACE_SECONDS)
        if ended.live:
            raise InputError(f"{job.id} on {self.address} was told to stop, but goes on; look at: sweep logs {job.id}")
        return ended

    def _wait(self, job: SweepJob, seconds: float) -> SweepJob:
        """The job, once it has ended or the time is over."""
        deadline = time.monotonic() + seconds
        while job.live and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            job = self._look_up(job.id)
        return job

    def _look_up(self, name: str) -> SweepJob:
        """A job as it is now."""
        with self._explained():
            return _job(self._client.get_job_info(name))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Whatever Ray's client and the network raise, as one sentence."""
        from aiohttp import ClientError
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise InputError(
                f"the cluster at {self.address} does not let you in: it wants its token, which Ray looks for in"
                " RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, and in ~/.ray/auth_token"
            ) from error
        except (OSError, RuntimeError, ValueError, ClientError) as error:
            raise InputError(f"the cluster at {self.address} cannot do this: {_told(error)}") from error


def _told(error: Exception) -> str:
    """The last line of a message, which may be a traceback of the server's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" .")]
    return lines[-1] if lines else type(error).__name__


def _check_answers(address: str) -> None:
    """Raises InputError where nothing listens; Ray's client would wait for minutes."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise InputError(
            f"'{without_password(address)}' is no job server's address; give http://host:8265 (Ray's dashboard)"
        )
    try:
        socket.create_connection((host, port or {"http": 80, "https": 443}[parts.scheme]), PROBE_SECONDS).close()
    except OSError as error:
        raise InputError(f"no Ray cluster answers at {without_password(address)}: {error.strerror or error}") from error


def _offer_token() -> None:
    """Let Ray's client send a token where there is one; a cluster without tokens ignores it.

    Raises:
        InputError: when the file that should hold it cannot be read.
    """
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named and not os.access(named, os.R_OK):
        raise InputError(f"RAY_AUTH_TOKEN_PATH names {named}, which cannot be read")
    if any(os.environ.get(name) for name in TOKENS) or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _job(details: JobDetails) -> SweepJob:
    """What Ray tells of a job."""
    status = str(details.status.value)
    code = DONE if status == "SUCCEEDED" else details.driver_exit_code
    states = {"PENDING": "waiting", "RUNNING": "running", "STOPPED": "cancelled"}
    return SweepJob(
        id=str(details.submission_id),
        sweep=(details.metadata or {})["sweep"],
        state=states.get(status) or ("failed" if code is None else STATES.get(code, "failed")),
        started=(details.start_time or 0) / 1000,
        ended=details.end_time / 1000 if details.end_time else None,
        code=code,
    )


def _number(job: SweepJob) -> int:
    number = job.id.removeprefix(f"{job.sweep}-")
    return int(number) if number.isdigit() else 0


def latest(jobs: list[SweepJob]) -> list[dict[str, Any]]:
    """A row per sweep, for `sweep list sweeps`: its last job, and how many it has had."""
    last = {job.sweep: job for job in jobs}
    count = Counter(job.sweep for job in jobs)
    return [job.row() | {"jobs": count[job.sweep]} for job in last.values()]


def last_line(log: str) -> str:
    """The last thing that a sweep has printed."""
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else ""
