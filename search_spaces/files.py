"""Where a spec's text is found: a file, or one that ships with the project."""

from __future__ import annotations

import codecs
from pathlib import Path

from search_spaces.limits import MOST_BYTES
from trainers.errors import InputError, unknown_name
from trainers.storage.inputs import expanded

SHIPPED = Path(__file__).parent


def shipped_specs() -> dict[str, Path]:
    """The specs that come with the project, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"), key=lambda path: path.stem)}


def spec_text(spec: str) -> tuple[str, str]:
    """The text of a file or of a shipped spec, and how messages name it. Raises InputError where there is none."""
    path = find_spec(spec)
    return _read(path), str(path) if path.parent != SHIPPED else path.name


def find_spec(spec: str) -> Path:
    """The file of a spec. Raises InputError where there is none."""
    shipped = shipped_specs()
    if spec in shipped:
        return shipped[spec]
    path = expanded(Path(spec))
    try:
        if path.is_dir():
            raise InputError(f"{spec} is a folder; a spec is a YAML file, or the name of a shipped spec")
        if path.exists():
            return path
    except OSError as error:  # such as a name that is too long
        raise InputError(f"cannot read {spec}: {error.strerror}") from error
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise InputError(f"there is no file {spec}; shipped specs: {', '.join(shipped)}")
    raise InputError(unknown_name("spec", spec, shipped) + "; or the path of a YAML file")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise InputError(f"{path} is longer than {MOST_BYTES:,} bytes: not a spec")
    return decoded(data, path)


MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""How a text begins that says in which encoding it is; the longer marks first, since one begins like another."""


ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
"""Which of the first four bytes are zero in a text without a mark, where a spec begins with ASCII (YAML 1.2, 5.2)."""


def decoded(data: bytes, path: Path) -> str:
    """The text of a spec's file: UTF-8, or UTF-16 or UTF-32 as Windows' editors write them.

    Raises:
        InputError: where it is no text, or in another encoding; it says which byte tells.
    """
    without_mark = ZEROS.get(tuple(byte == 0 for byte in data[:4]), "utf-8")
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), without_mark)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        if b"\0" in data or name != "UTF-8":
            raise InputError(f"{path} is not a text file (byte {error.start} is not {name}): not a spec") from error
        line, byte = data[: error.start].count(b"\n") + 1, data[error.start : error.start + 1]
        character = byte.decode("latin-1")
        latin = f", '{character}' in Latin-1," if character.isprintable() else ""
        raise InputError(
            f"{path}, line {line}: a spec is text in UTF-8, which the byte {byte.hex().upper()}{latin} is not; save the"
            " file as UTF-8"
        ) from error


def is_file(path: str) -> bool:
    """Whether there is such a file (a leading ``~`` is the home folder); a name that no file can have names none."""
    try:
        return Path(path).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # such as a name that is too long, or the home folder of nobody
        return False
