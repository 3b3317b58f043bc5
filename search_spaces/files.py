"""Where a spec's text is found: a file, or one that ships with the project."""

from __future__ import annotations

from pathlib import Path

from search_spaces.limits import MOST_BYTES
from trainers.errors import InputError, unknown_name

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
    path = Path(spec)
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
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file (byte {error.start} is not UTF-8): not a spec") from error


def is_file(path: str) -> bool:
    """Whether there is such a file (a leading ``~`` is the home folder); a name that no file can have names none."""
    try:
        return Path(path).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # such as a name that is too long, or the home folder of nobody
        return False
