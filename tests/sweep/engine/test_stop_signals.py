"""The first Ctrl-C, wherever it comes."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from sweep.engine.display import PlainDisplay
from sweep.engine.queue import TrialQueue
from sweep.engine.recorder import Recorder
from sweep.engine.stop_signals import STOPPING, stop_signals
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan


class Interrupted(io.RawIOBase):
    """A pipe in the middle of whose first write a signal comes."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.taken = b""
        self._number: int | None = number

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
