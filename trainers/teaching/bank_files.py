"""Files of the logit bank: entries, with a checksum, and locks.

Shapes: `n` entries, `C` classes.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainers.storage.content import canonical_json

_log = logging.getLogger(__name__)

FORMAT = 1
"""Of a shelf; another number is another shelf."""
SUFFIX = ".arrow"
NAME = re.compile(rf"[0-9a-f]{{16}}{re.escape(SUFFIX)}")
"""What :func:`block_name` gives."""
DTYPES = (np.dtype(np.float16), np.dtype(np.float32))
"""Of logits."""


class DamagedError(ValueError):
    """A file of entries is not what was written."""


@dataclass(frozen=True)
class Block:
    """A memory-mapped file of entries."""

    address: NDArray[np.int64]
    """``[n]``, rising."""
    logits: NDArray[Any]
    """``[n, C]``."""

    def __len__(self) -> int:
        return len(self.address)


def block_name(content: bytes) -> str:
    """What a file of that content is called."""
    return f"{hashlib.sha256(content).hexdigest()[:16]}{SUFFIX}"


def locked(handle: int, wait: bool) -> bool:
    """Take a file's lock, until the file is closed; True as well where its disk has no locks, with a warning."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        _log.warning("no lock on the logit bank, so work may be done twice: %s", error)
    return True


def encoded(address: NDArray[np.int64], logits: NDArray[Any]) -> bytes:
    """Entries as an Arrow file, with a checksum of its numbers."""
    values = pa.array(np.ascontiguousarray(logits).reshape(-1))
    columns = [pa.array(address), pa.FixedSizeListArray.from_arrays(values, logits.shape[1])]
    schema = _schema(logits.dtype, logits.shape[1], _checksum(address, logits))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def opened(path: Path, classes: int) -> Block:
    """Map a file.

    Raises:
        DamagedError: when it is not what :func:`encoded` made, for that many classes.
        OSError: when it cannot be opened.
    """
    with path.open("rb"):
        pass  # what keeps it from being opened is no damage, and Arrow raises an OSError for that too
    try:
        return _block(path, classes)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged header makes Arrow and numpy raise anything, not only errors of theirs
        raise DamagedError(str(error).partition("\n")[0] or type(error).__name__) from error


def _block(path: Path, classes: int) -> Block:
    """See :func:`opened`; raises an error of any kind when the file is damaged."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    table.validate()  # that each buffer is as long as the header says: numpy would read on behind it
    address = table["address"].chunk(0).to_numpy()
    logits = table["logits"].chunk(0).flatten().to_numpy().reshape(len(address), classes)
    checksum = _checksum(address, logits)
    if table.schema.metadata[b"check"] != str(checksum).encode():
        raise ValueError("its checksum does not match")
    written = table.schema.equals(_schema(logits.dtype, classes, checksum), check_metadata=True)
    if not written or logits.dtype not in DTYPES or table["address"].num_chunks != 1:
        raise ValueError("its columns are not those that were written")
    return Block(address, logits)


def _schema(dtype: np.dtype[Any], classes: int, checksum: int) -> pa.Schema:
    """Of a file of entries: its columns, its format, and the checksum of its numbers."""
    columns = [("address", pa.int64()), ("logits", pa.list_(pa.from_numpy_dtype(dtype), classes))]
    return pa.schema(columns, metadata={"check": str(checksum), "content": canonical_json({"format": FORMAT})})


def _checksum(address: NDArray[np.int64], logits: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(logits).view(np.uint8).reshape(-1).data, zlib.crc32(address.data))
