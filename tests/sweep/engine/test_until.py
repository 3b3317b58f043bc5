"""The time that a run was given."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from sweep.engine.until import RESERVE_SECONDS, RESERVE_SHARE, Until, until
from trainers.errors import InputError

HOUR = 3600.0


@pytest.mark.parametrize("given", [HOUR, 100.0])
def test_the_end_of_the_run_itself_has_its_part_of_a_short_time_and_no_more_of_a_long_one(given: float) -> None:
    now = [0.0]
    ends = Until(given, lambda: now[0])
    assert ends.left() == given - min(RESERVE_SECONDS, RESERVE_SHARE * given)
    now[0] = given
    assert ends.left() < 0


def test_a_time_is_read_as_people_and_as_slurm_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        here = later.astimezone().replace(tzinfo=None)
        typed = [str(int(later.timestamp())), later.isoformat(), here.isoformat(), here.isoformat(" ")]
        left = [until(text).left() for text in typed]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert max(left) - min(left) < 60
    assert abs(left[0] + RESERVE_SECONDS - 24 * HOUR) < 60


@pytest.mark.parametrize("text", ["", "soon", "12:00", "-5", "1e9", "9" * 400, "2026-13-01", "N/A", "\u00b2"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no time; write 2026-01-31T18:05"):
        until(text)


@pytest.mark.parametrize("text", ["1000000000", "2001-01-01T00:00"])
def test_a_time_that_has_passed_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"2001-.* has passed; give a later time"):
        until(text)
