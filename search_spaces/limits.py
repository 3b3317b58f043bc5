"""How large a spec may be. What is larger is a slip of the pen, refused before any of it is expanded.

What a field may be at most stands beside the field (:class:`trainers.config.Recipe`, :mod:`search_spaces.schema`, the
methods' hyperparameters); here is what no single field knows.
"""

from __future__ import annotations

MOST_BYTES = 100_000
"""Of the file: YAML is read at some 50,000 bytes a second."""
MOST_KEYS = 1_000
"""Of one mapping."""
MOST_ENTRIES = 10_000
"""Of one list."""
MOST_VALUES = 100_000
"""Of a file whose aliases are unfolded; without them its bytes bound it."""
LONGEST_NUMBER = 100
"""Characters of a number as it is written; YAML 1.1 reads ``1:30:00`` to the base of 60, at any length."""
MOST_DIGITS = 18
"""Of a whole number: what 64 bits hold."""
MOST_MISTAKES = 100
"""That are told; after them no more are looked for."""
MOST_SEEDS = 10_000
MOST_POINTS = 2_000
"""Points of one grid, of its searched values every combination of two."""
MOST_TRIED = 10_000
"""Points of a search that tries all of them."""
MOST_CONFIGURATIONS = 10_000
"""Of the whole spec: pairs times recipes times methods, each of a grid's points, of searched values every combination
of two. Each is built once, without numbers, to see whether it can be."""
