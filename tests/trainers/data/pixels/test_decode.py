"""Which pictures are decoded, and how large one may be: known before its pixels are read."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
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


# -- more than 8 bits -------------------------------------------------------------------------------------------------

RAMP = np.linspace(0, 65_535, 32 * 32).reshape(32, 32)
HIGH = (RAMP.astype(np.uint16) >> 8).astype(np.uint8)
"""What every file of that ramp is cut to."""


def pgm(values: NDArray[np.float64], most: int) -> bytes:
    return f"P5\n32 32\n{most}\n".encode() + values.astype(">u2").tobytes()


def saved(values: NDArray[Any], kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def tiff(values: bytes, bits: int, sample: int, order: str = "<", black: int = 1) -> bytes:
    """An uncompressed grey TIFF of 32 × 32, as Pillow writes none: `sample` 1 is whole numbers, 2 those with a sign;
    `black` 1 has 0 black, 0 has it white."""
    tags = {256: 32, 257: 32, 258: bits, 259: 1, 262: black, 273: 8, 277: 1, 278: 32, 279: len(values), 339: sample}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(values))
    return head + values + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def twelve(values: NDArray[np.float64]) -> bytes:
    """Values below 4,096, two in three bytes."""
    pairs = values.astype(np.uint32).reshape(-1, 2)
    return b"".join(int(high << 12 | low).to_bytes(3, "big") for high, low in pairs)


DEEP = {
    "PNG": saved(RAMP.astype(np.uint16), "PNG"),
    "PGM": pgm(RAMP, 65_535),
    "PGM in text": b"P2\n32 32\n65535\n" + b" ".join(str(int(value)).encode() for value in RAMP.flat),
    "TIFF": saved(RAMP.astype(np.uint16), "TIFF"),
    "TIFF, big end first": tiff(RAMP.astype(">u2").tobytes(), 16, 1, ">"),
    "TIFF whose 0 is white": tiff((65_535 - RAMP.astype(np.uint16)).tobytes(), 16, 1, black=0),
    "TIFF of 12 bits": tiff(twelve(RAMP // 16), 12, 1),
    "JPEG 2000": saved(RAMP.astype(np.uint16), "JPEG2000"),
}


@pytest.mark.parametrize("name", DEEP)
def test_grey_of_more_than_8_bits_is_cut_to_8(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DEEP[name])
    for content in (DEEP[name], tmp_path / "a"):
        found = np.asarray(opened(Encoded("one", content)))
        assert found.shape == (32, 32, 3)
        assert all(np.array_equal(found[:, :, channel], HIGH) for channel in range(3))
    inspect(tmp_path / "a")


def test_where_0_is_white_8_bits_say_the_same_as_16() -> None:
    found = np.asarray(opened(Encoded("one", tiff((255 - HIGH).tobytes(), 8, 1, black=0))))
    assert np.array_equal(found[:, :, 0], HIGH)


def test_a_pgm_of_another_depth_is_brought_to_8_bits_too() -> None:
    for most in (255, 256, 1_023, 4_095, 40_000):
        scaled = np.floor(RAMP / 65_535 * most)
        content = pgm(scaled, most) if most > 255 else b"P5\n32 32\n255\n" + scaled.astype(np.uint8).tobytes()
        found = np.asarray(opened(Encoded("one", content)))[:, :, 0]
        assert np.abs(found.astype(int) - HIGH).max() <= 1 + 256 // most


def test_colours_of_16_bits_are_cut_to_8() -> None:
    values = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2).astype(">u2")
    found = np.asarray(opened(Encoded("one", b"P6\n32 32\n65535\n" + values.tobytes())))
    assert np.abs(found.astype(int) - (values >> 8)).max() <= 1  # Pillow rounds these


UNTOLD = {
    "whole numbers of 32 bits in TIFF": saved(RAMP.astype(np.int32), "TIFF"),
    "with a sign in TIFF": tiff(np.zeros((32, 32), np.int16).tobytes(), 16, 2),
    "fractions to 1 in TIFF": saved((RAMP / 65_535).astype(np.float32), "TIFF"),
    "fractions to 65,535 in TIFF": saved(RAMP.astype(np.float32), "TIFF"),
    "fractions in PFM": b"Pf\n32 32\n-1.0\n" + (RAMP / 65_535).astype("<f4").tobytes(),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_a_picture_whose_white_nobody_tells_is_refused_by_its_head(name: str, tmp_path: Path) -> None:
    """And where a set is streamed, before anything trains."""
    kind = "fractions" if "fractions" in name else "whole numbers of 32 bits, or with a sign"
    message = f"is not a readable image: its pixels are {kind}, and the file does not say which of them is white; save"
    assert message in fault(UNTOLD[name])
    (tmp_path / "a").write_bytes(UNTOLD[name])
    assert message in fault(tmp_path / "a")
    with pytest.raises(InputError, match="does not say which of them is white"):
        inspect(tmp_path / "a")
