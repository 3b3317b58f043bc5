"""What travels with a submitted sweep: the spec, packed into one word of the job's environment."""

from __future__ import annotations

import base64
import json
import os
import zlib
from pathlib import Path
from typing import Any

from search_spaces.schema import Spec
from trainers.errors import InputError

CARRIED = "SWEEP_SUBMITTED"
"""The variable that holds the spec in a job's environment; see :func:`packed`."""
LONGEST = 100_000
"""Characters of a packed spec: a process takes no longer variable than 128 KiB."""
LARGEST = 2_000_000
"""Bytes of an unpacked one; what is longer was not packed here."""


def packed(spec: Spec) -> str:
    """A spec's text, and its file's name for messages, as one word of an environment.

    Raises:
        InputError: when that is too long.
    """
    content = json.dumps({"text": spec.text, "source": Path(spec.source).name}).encode()
    word = base64.b64encode(zlib.compress(content, 9)).decode()
    if len(word) > LONGEST:
        raise InputError(
            f"{spec.source} is too long for a job: {len(word):,} characters when packed, at most {LONGEST:,}"
        )
    return word


def carried() -> Spec:
    """The spec that this process's job was submitted with. Raises InputError where it was not."""
    from search_spaces.loader import parse_spec

    word = os.environ.get(CARRIED)
    if not word:
        raise InputError("this command is what a submitted job runs; to submit one: sweep submit SPEC")
    try:
        stream = zlib.decompressobj()
        content = json.loads(stream.decompress(base64.b64decode(word, validate=True), LARGEST))
        text, source = str(content["text"]), str(content["source"])
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise InputError(f"{CARRIED} holds no spec: {error}") from error
    return parse_spec(text, source)


def read_there(spec: Spec) -> list[str]:
    """What a spec reads from files, which must be on the cluster: ``dataset parquet, path: data/faces``."""
    from trainers.data import DATASETS

    source: Any = DATASETS[spec.dataset].model_validate(spec.dataset_options)
    data = [f"dataset {spec.dataset}, {name}: {value}" for name, value in source if isinstance(value, Path)]
    return data + [f"teacher: {pair.teacher}" for pair in spec.pairs if pair.kind == "file"]


def nothing_lost() -> str:
    """What a run says that stops before its end."""
    again = "Submitted again, it" if CARRIED in os.environ else "The same command"
    return f"nothing is lost. {again} goes on from here"
