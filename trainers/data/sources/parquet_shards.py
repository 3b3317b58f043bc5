"""Where the shards of a data set lie: beside each other, or in a folder for each split.

::

    train-00000-of-00002.parquet  test-00000-of-00001.parquet     beside each other, also in a folder data/
    train/0000.parquet            test/0000.parquet               as the hub converts data sets
    train.parquet/part-0.parquet  test.parquet/part-0.parquet     as Spark and Dask write a table

and each of them in the one folder that holds Parquet files, such as default/.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from trainers.errors import InputError
from trainers.storage.inputs import is_folder, readable

TESTS = ("test", "validation", "valid", "val")
"""What a test split is called; the first that is there is taken."""
TRAIN_SHARDS = ("train-*.parquet", "train.parquet", "train/**/*.parquet", "train.parquet/*.parquet")
TEST_SHARDS: tuple[str, ...] = (
    "test-*.parquet",
    "test.parquet",
    "validation-*.parquet",
    "valid-*.parquet",
    "val-*.parquet",
)
TEST_SHARDS += tuple(f"{name}.parquet" for name in TESTS[1:])
TEST_SHARDS += tuple(f"{name}{kind}" for name in TESTS for kind in ("/**/*.parquet", ".parquet/*.parquet"))
"""The first pattern that some file fits is taken."""
ALL_SHARDS = ("*.parquet",)
"""Where one table holds both splits."""
SUBFOLDER = "data"
"""Where the hub's repositories keep their shards."""
LOOKED_AT = 1_000
"""Parquet files below a folder that are counted for a message."""


def root_of(folder: Path, pattern: str | None, usual: Sequence[str]) -> Path:
    """The folder that the shards lie in: that one, its folder `data`, or the only other one in it that holds any.

    Args:
        folder: as the option `path` has it.
        pattern: of the training shards, where the option names one.
        usual: their patterns where it does not.

    Raises:
        InputError: where several hold some.
    """
    if list(folder.glob("*.parquet")) or pattern is not None:
        return folder if list(folder.glob("*.parquet")) or not is_folder(folder / SUBFOLDER) else folder / SUBFOLDER
    if _holds(folder, usual):
        return folder
    if is_folder(folder / SUBFOLDER):
        return folder / SUBFOLDER
    below = [one for one in sorted(folder.iterdir()) if one.is_dir() and _holds(one, usual)]
    if len(below) > 1:
        names = ", ".join(f"{readable(one.name)}/" for one in below)
        raise InputError(f"{readable(folder)} holds several data sets, {names}: which one? Give its folder as path")
    return below[0] if below else folder


def shards_of(root: Path, pattern: str | None, usual: Sequence[str], option: str) -> list[Path]:
    """The files of one split, in the order of their names.

    Args:
        root: the folder that they lie in.
        pattern: what the option names; None where it names nothing.
        usual: the patterns that are then tried, in this order.
        option: its name.

    Raises:
        InputError: where there are none.
    """
    for candidate in [pattern] if pattern is not None else usual:
        shards = sorted(path for path in _fitting(root, candidate, option) if path.is_file())
        if shards:
            return shards
    looked = f"'{pattern}'" if pattern is not None else " or ".join(f"'{name}'" for name in usual)
    raise InputError(
        f"no {option} shards in {readable(root.absolute())}: looked for {looked} (option {option}); {_held(root)}"
    )


def _held(root: Path) -> str:
    """What is there instead."""
    present = sorted(readable(path.name) for path in root.glob("*.parquet"))
    if present:
        return f"the folder holds {', '.join(present[:5])}"
    below = sorted(readable(path.relative_to(root)) for path in islice(root.rglob("*.parquet"), LOOKED_AT))
    if below:
        return f"the folder holds no Parquet file itself, but {', '.join(below[:3])}{' …' if len(below) > 3 else ''}"
    return "the folder holds no Parquet file"


def _holds(folder: Path, patterns: Sequence[str]) -> bool:
    return any(path.is_file() for pattern in patterns for path in folder.glob(pattern))


def _fitting(root: Path, pattern: str, option: str) -> list[Path]:
    """What a pattern fits. Raises InputError for what is no pattern, such as one that begins at the root."""
    try:
        return list(root.glob(pattern))
    except (ValueError, NotImplementedError, OSError) as error:
        raise InputError(
            f"'{readable(pattern)}' is no pattern of files below {readable(root)} (option {option})"
        ) from error
