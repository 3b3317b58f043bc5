"""Files of the logit bank: entries, with a checksum, and locks.

Shapes: `n` entries, `C` classes.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
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
    """Take a file's lock, until the file is closed; True as well where its disk has no locks."""
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
    check = {"check": str(_checksum(address, logits)), "content": canonical_json({"format": FORMAT})}
    schema = pa.schema([("address", columns[0].type), ("logits", columns[1].type)], metadata=check)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def opened(path: Path, classes: int) -> Block:
    """Map a file.

    Raises:
        ValueError, OSError: when it is damaged.
    """
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    address = table["address"].chunk(0).to_numpy()
    logits = table["logits"].chunk(0).flatten().to_numpy().reshape(len(address), classes)
    if table.schema.metadata[b"check"] != str(_checksum(address, logits)).encode():
        raise ValueError("its checksum does not match")
    return Block(address, logits)


def _checksum(address: NDArray[np.int64], logits: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(logits).view(np.uint8).reshape(-1).data, zlib.crc32(address.data))
