"""A root that has moved: MLflow's database below it knows where each artifact lies by its whole path.

MLflow keeps those paths when an experiment, a run or a model is made, and takes no relative ones. So whoever opens a
root's own database first looks whether its experiments were made at another place, and writes the paths anew of those
whose files lie below this root. A root that was copied so points to its own files; artifacts that stayed elsewhere are
left where they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from sweep.layout import Root
from sweep.tracking.mlflow_internals import LOCATIONS

SECONDS = 30
"""That another process may hold the database."""


def follow(root: Root) -> list[str]:
    """Have the root's own database find the artifacts where the root lies now.

    Returns:
        The folders in which it looked for them before; none where there is nothing to do, or the file cannot be read
        or written, of which MLflow itself has a word to say.
    """
    database = root.mlflow_database
    if not database.is_file():
        return []
    with suppress(sqlite3.Error), closing(sqlite3.connect(_address(database), uri=True, timeout=SECONDS)) as opened:
        moves = list(_moves(opened, root))
        with opened:
            for before, now in moves:
                _rewrite(opened, before, now)
        return list(dict.fromkeys(_path(before.rpartition("/")[0]) for before, _ in moves))
    return []


def _address(database: Path) -> str:
    return f"file:{quote(str(database.absolute()))}?mode=rw"


def _moves(database: sqlite3.Connection, root: Root) -> Iterator[tuple[str, str]]:
    """Where the experiments of sweeps that lie here were made, and where they are now, as URIs."""
    for name, before in database.execute("SELECT name, artifact_location FROM experiments"):
        place = root.artifacts / name
        now = place.absolute().as_uri()
        ours = str(before).startswith("file://") and str(before).endswith(f"/{root.artifacts.name}/{quote(name)}")
        if ours and before != now and place.is_dir() and not _is_same(Path(_path(before)), place):
            yield before, now


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path)


def _is_same(before: Path, now: Path) -> bool:
    """Whether both are one folder, which is reached by two paths: none of them is wrong."""
    try:
        return before.samefile(now)
    except OSError:
        return False


def _rewrite(database: sqlite3.Connection, before: str, now: str) -> None:
    """Every place at or below a URI, as one below another."""
    for table, columns in LOCATIONS.items():
        for column in columns:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                f" WHERE {column} = ? OR substr({column}, 1, ?) = ? || '/'",
                (now, len(before) + 1, before, len(before) + 1, before),
            )
