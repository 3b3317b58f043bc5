"""A process apart: what it tells, and how it may end."""

from __future__ import annotations

import os
import signal
import time

import pytest

from sweep.cli.apart import Apart, Tell


def ended(process: int) -> bool:
    """Whether there is no such process any more."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_it_tells_arrives_in_order_whatever_its_length() -> None:
    values = ["ü" * 200_000, None, {"a": [1, 2.5]}, *range(1000)]
    with Apart(lambda tell: [tell(value) for value in values] and None) as process:
        assert list(process.told()) == values
        assert process.ending() == "its process was ended with exit code 0"


def die(tell: Tell) -> None:
    tell("before")
    os.kill(os.getpid(), signal.SIGKILL)


def leave(tell: Tell) -> None:
    tell("before")
    os._exit(3)


def fail(tell: Tell) -> None:
    tell("before")
    raise ZeroDivisionError


ENDS = {"by SIGKILL": die, "with exit code 3": leave, "with exit code 1": fail}


@pytest.mark.parametrize("how", ENDS)
def test_however_it_ends_what_it_told_before_is_there(how: str, capfd: pytest.CaptureFixture[str]) -> None:
    with Apart(ENDS[how]) as process:
        assert list(process.told()) == ["before"]
        assert process.ending() == f"its process was ended {how}"


def test_whoever_leaves_ends_it() -> None:
    with pytest.raises(KeyboardInterrupt), Apart(_endless) as process:
        child = next(process.told())
        assert not ended(child)
        raise KeyboardInterrupt
    assert ended(child)


def _endless(tell: Tell) -> None:
    tell(os.getpid())
    time.sleep(10**6)


def test_what_it_has_started_holds_nobody_up() -> None:
    def start(tell: Tell) -> None:
        child = os.fork()
        if not child:
            time.sleep(10**6)
        tell(child)

    with Apart(start) as process:
        (child,) = process.told()
    os.kill(child, signal.SIGKILL)
