"""The first Ctrl-C, wherever it comes."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from sweep.engine.display import PlainDisplay
from sweep.engine.queue import TrialQueue
from sweep.engine.recorder import NEARLY_UP, Recorder
from sweep.engine.stop_signals import NOTICE, STOPPING, TOGETHER_SECONDS, stop_signals
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan


class Interrupted(io.RawIOBase):
    """A pipe in the middle of whose first write a signal comes."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.taken = b""
        self._number: int | None = number

    def spare(self) -> None:
        """No signal comes."""
        self._number = None

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        number, self._number = self._number, None
        if number is not None:
            signal.raise_signal(number)
        self.taken += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def pipe(request: pytest.FixtureRequest) -> Interrupted:
    return Interrupted(request.param)


@pytest.fixture
def recorder(pipe: Interrupted, tmp_path: Path, ledger: Ledger, small_plan: Plan) -> Iterator[Recorder]:
    console = Console(file=io.TextIOWrapper(io.BufferedWriter(pipe)), width=80)
    yield Recorder(SweepPaths(tmp_path), ledger, TrialQueue(small_plan, {}, set()), PlainDisplay(console))


def test_a_signal_in_the_middle_of_a_write_stops_the_sweep_and_is_told_after_it(
    pipe: Interrupted, recorder: Recorder
) -> None:
    """Python refuses to begin another write there, with an exception that would end the run."""
    with stop_signals(recorder):
        recorder._display.note("trial 1 has finished")
        assert recorder.stopped()
        recorder.tick()
        recorder.tick()
    assert pipe.taken.decode().splitlines() == ["trial 1 has finished", STOPPING]


def test_the_second_signal_ends_the_run_now(recorder: Recorder) -> None:
    with stop_signals(recorder):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_sigterm_that_comes_several_times_at_once_is_one_request(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`timeout` sends it to its child and to the whole group; Slurm to all processes, and a script hands it on."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with stop_signals(recorder):
        for _ in range(3):
            now += TOGETHER_SECONDS / 2
            signal.raise_signal(signal.SIGTERM)
        assert recorder.stopped()
        now += TOGETHER_SECONDS
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_the_notice_of_a_batch_system_stops_a_run_for_want_of_time_however_often_it_comes(
    pipe: Interrupted, recorder: Recorder
) -> None:
    pipe.spare()
    before = signal.getsignal(NOTICE)
    with stop_signals(recorder):
        os.kill(os.getpid(), NOTICE)
        os.kill(os.getpid(), NOTICE)
        assert recorder.stopped()
        assert recorder.time_up
        recorder.tick()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert pipe.taken.decode().split() == NEARLY_UP.split()
    assert signal.getsignal(NOTICE) is before


def test_a_notice_after_ctrl_c_does_not_have_the_job_queued_again(recorder: Recorder) -> None:
    with stop_signals(recorder):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(NOTICE)
        assert not recorder.time_up
