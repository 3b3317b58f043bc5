"""Names that occur in a ledger's epochs, without reading every one of them."""

from __future__ import annotations

import sqlite3

from sweep.ledger.shapes import Shapes

_ONE_OF_EACH_SHAPE = """
SELECT MIN(body) FROM events WHERE kind = 'epoch' AND body NOT LIKE '{%' GROUP BY substr(body, 1, instr(body, ','))
UNION ALL SELECT body FROM events WHERE kind = 'epoch' AND body LIKE '{%' AND NOT json_valid(body)
"""
"""And all that have their names of which SQLite cannot read them: of numbers that JSON has not, such as infinity."""
_NAMED = """
SELECT DISTINCT part.key FROM events, json_each(CASE WHEN json_valid(body) THEN body END, ?) AS part
WHERE kind = 'epoch' AND body LIKE '{%'
"""


def of_epochs(database: sqlite3.Connection, shapes: Shapes, part: str) -> list[str]:
    """Names in one part of the epochs' bodies (their `terms`, say), in alphabetical order.

    Raises:
        ValueError: where an epoch is not what was written.
        StorageError: where a shape is damaged.
        sqlite3.Error: where the file is.
    """
    bodies = [shapes.body(text) for (text,) in database.execute(_ONE_OF_EACH_SHAPE).fetchall()]
    if not all(isinstance(body, dict) for body in bodies):
        raise ValueError("an event has another body than was written")
    parts = (body.get(part) for body in bodies)
    named = {name for (name,) in database.execute(_NAMED, (f"$.{part}",))}
    return sorted(named.union(*(one for one in parts if isinstance(one, dict))))
