"""Which part of the axis a panel shows, and what beside its lines."""

from __future__ import annotations

import pytest

from sweep.report.framing import FLATTEST, Frame, alike, frame
from sweep.report.style import Reference

KD, SCRATCH, FAR = Reference("kd", 80.0), Reference("scratch", 77.0), Reference("teacher", 95.0)


def test_all_numbers_and_the_baseline_are_in_the_frame() -> None:
    found = frame([81.0, 84.0], [KD], [])
    assert found.low < 80.0 < 84.0 < found.high
    assert found.drawn == (KD,)
    assert frame([81.0, 84.0], [Reference("kd", 20.0)], []).low < 20.0


def test_what_is_near_is_drawn_and_what_is_far_is_told() -> None:
    found = frame([81.0, 84.0], [KD], [SCRATCH, FAR])
    assert (found.drawn, found.beyond) == ((KD, SCRATCH), (FAR,))
    assert found.low < 77.0 and found.high < 95.0
    assert found.remark == "not in the picture: teacher 95.00"
    assert frame([81.0, 84.0], [KD], [SCRATCH]).remark == ""


def test_what_spans_nothing_has_a_frame_all_the_same() -> None:
    found = frame([80.0], [], [])
    assert found.span >= FLATTEST
    assert found.low + found.high == pytest.approx(160.0)


def test_panels_share_an_axis_unless_one_would_be_squeezed() -> None:
    near = {"a": Frame(70.0, 75.0), "b": Frame(72.0, 78.0)}
    assert {(one.low, one.high) for one in alike(near).values()} == {(70.0, 78.0)}
    apart = near | {"c": Frame(90.0, 94.0)}
    assert alike(apart) == apart
