"""Files of measurements below the root, which may be removed: what they hold is then measured anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trainers.errors import InputError, StorageError


def read(path: Path, each: Any) -> dict[str, Any]:
    """What a file of measurements holds, by name; nothing where there is none.

    Args:
        path: a file of JSON.
        each: the type of what it holds under each name, such as a dataclass.

    Raises:
        InputError: when it is damaged; StorageError when it cannot be read.
    """
    if not path.exists():
        return {}
    try:
        return TypeAdapter(dict[str, each]).validate_json(path.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is damaged ({f'{where}: ' if where else ''}{first['msg']}): mend it, or remove it, and what it"
            " holds is measured anew"
        ) from error
