"""Which pictures are decoded, and how large one may be: known before its pixels are read."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from tests.trainers.data.examples import encode, pixels
from trainers.data.pixels.decode import DECODED, MOST_PIXELS, UNKNOWN, Encoded, Frame, formats, framed, inspect, opened
from trainers.errors import InputError

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
newpath 0 0 moveto 8 8 lineto stroke
showpage
"""


def fault(content: bytes | Path, resize: int | None = None) -> str:
    with pytest.raises(InputError) as error:
        opened(Encoded("one", content), resize)
    assert "\n" not in str(error.value)
    return str(error.value)


def head(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and has no pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_postscript_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was asked for")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    assert fault(EPS) == f"one is not a readable image: {UNKNOWN}"
    (tmp_path / "a.eps").write_bytes(EPS)
    assert fault(tmp_path / "a.eps").endswith(UNKNOWN)
    with pytest.raises(InputError, match="no PostScript"):
        inspect(tmp_path / "a.eps")
    assert Image.open(io.BytesIO(EPS)).format == "EPS"  # Pillow by itself would take it


def test_what_pillow_decodes_by_itself_is_opened() -> None:
    formats()
    left_out = {"EPS", "IPTC", "FITS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF"}
    assert set(Image.OPEN) - set(DECODED) == left_out & set(Image.OPEN)  # a new one is looked at before it is added
    assert set(formats()) >= {"JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "TGA"}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "MPO", "QOI"])
def test_every_usual_format_is_read(kind: str, tmp_path: Path) -> None:
    image = np.repeat(pixels(1, 4)[0], 8, axis=1).repeat(8, axis=0)[:32, :32]  # a size that an icon may have
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(encode(image, kind))
    with Image.open(path) as expected:
        wanted = np.asarray(expected.convert("RGB"))
    assert np.array_equal(np.asarray(opened(Encoded("one", path))), wanted)
    assert np.array_equal(np.asarray(opened(Encoded("one", path.read_bytes()))), wanted)


def test_a_picture_that_would_become_too_large_is_refused_by_its_head(tmp_path: Path) -> None:
    """The file has no pixels at all: a message about its size shows that none were wanted."""
    long = head(13_000, 40)
    message = (
        "one is not a readable image: it is 13,000 × 40 pixels (width × height), and with its shorter side at 1024 it"
        f" would be 332,800 × 1,024; at most {MOST_PIXELS:,} are made"
    )
    assert fault(long, 1024) == message
    (tmp_path / "long.png").write_bytes(long)
    with pytest.raises(InputError, match="13,000 × 40 pixels"):
        inspect(tmp_path / "long.png", 1024)
    with pytest.raises(InputError, match="13,000 × 40 pixels"):
        framed(Encoded("one", long), Frame((8, 8), 1024))
    assert "13,000" not in fault(long)  # as it is, it is no larger than others: what fails is that it has no pixels
    assert "13,000" not in fault(long, 224)


def test_a_picture_of_any_shape_is_resized_where_there_is_room() -> None:
    strip = np.zeros((2, 400, 3), np.uint8)
    strip[:, 199:201] = 255
    found = framed(Encoded("one", encode(strip)), Frame((8, 8), 16))
    assert found.shape == (3, 8, 8)
    assert found[0, 4, 3:5].tolist() == [255, 255]


def test_a_picture_that_claims_too_many_pixels_is_refused_by_its_head() -> None:
    assert "exceeds limit of" in fault(head(100_000, 100_000))


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert fault(tmp_path / "a.png") == f"{tmp_path}/a.png is a pipe, not a file"
    assert fault(Path("/dev/zero")) == "/dev/zero is a device, not a file"
