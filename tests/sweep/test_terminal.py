"""What is printed where not every character can be."""

from __future__ import annotations

import io
import sys

import pytest

from sweep import formats, terminal
from sweep.terminal import PREFIX, SPELT, fit_streams, printable, spelt, visible


def stdout(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.TextIOWrapper:
    """Standard output of an encoding, as a process has it."""
    made = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")
    monkeypatch.setattr(sys, "stdout", made)
    return made


def written(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue()


LINE = "resnet20→resnet8 · dhkd α=0.5, Δ −1.20 ± 0.3 × 2² … “ü” ✓ 中"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", b'resnet20->resnet8 - dhkd alpha=0.5, Delta -1.20 +- 0.3 x 22 ... "u" ok \\u4e2d\n'),
        (
            "latin-1",
            'resnet20->resnet8 · dhkd alpha=0.5, Delta -1.20 ± 0.3 × 2² ... "ü" ok \\u4e2d\n'.encode("latin-1"),
        ),
        ("cp1252", "resnet20->resnet8 · dhkd alpha=0.5, Delta -1.20 ± 0.3 × 2² … “ü” ok \\u4e2d\n".encode("cp1252")),
        ("utf-8", f"{LINE}\n".encode()),
        ("utf-16-le", f"{LINE}\n".encode("utf-16-le")),
    ],
)
def test_what_a_stream_lacks_is_spelt(monkeypatch: pytest.MonkeyPatch, encoding: str, expected: bytes) -> None:
    stream = stdout(monkeypatch, encoding)
    fit_streams()
    print(LINE)
    assert written(stream) == expected
    assert printable(LINE).encode(stream.encoding) == expected.removesuffix("\n".encode(stream.encoding))


def test_a_stream_is_fitted_once_and_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stdout(monkeypatch, "ascii")
    fit_streams()
    fit_streams()
    assert sys.stdout is stream
    assert stream.encoding == f"{PREFIX}ascii"
    print("\udcff and \ud800")
    assert written(stream) == b"\\udcff and \\ud800\n"


def test_columns_stay_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout(monkeypatch, "ascii")
    fit_streams()
    for rows in ([["a→b", "1.0 ± 0.2"], ["c", "2"]], [["a→b", "1.0 ± 0.2"]] * (formats.MANY_ROWS + 1)):
        lines = formats.to_table(["pair", "Δ"], rows).splitlines()
        assert lines[1].index("1.0 +- 0.2") == lines[0].index("Delta")
        assert lines[1].startswith("a->b")


def test_every_character_of_ours_is_spelt_in_ascii() -> None:
    assert all(len(character) == 1 and text.isascii() for character, text in SPELT.items())
    assert spelt("βγλμσΩ", "ascii") == "betagammalambdamusigmaOmega"
    assert spelt("é ﬁ ½ 💥", "ascii") == "e fi 12 \\U0001f4a5"
    assert terminal.spelt("as it is", "ascii") == "as it is"


def test_what_is_captured_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print(LINE)
    assert capsys.readouterr().out == f"{LINE}\n"
    assert printable(LINE) == LINE


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert visible("a\x1b[2J\x07\x9b31m\x7fb\n\tα→") == r"a\x1b[2J\x07\x9b31m\x7fb" + "\n\tα→"
