"""What travels with a submitted sweep: the spec, packed into one word of the job's environment, and the user's code.

The word holds JSON, LZMA-compressed, in base85, less the ``$`` that Ray would expand. Of the code it has the key alone;
the files are a parcel of their own (:mod:`sweep.cluster.parcel`).
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from search_spaces.schema import Spec
from sweep.cluster.parcel import arrived
from trainers.code import Code
from trainers.errors import InputError

CARRIED = "SWEEP_SUBMITTED"
"""The variable that holds the spec in a job's environment; see :func:`packed`."""
ALLOW_CODE = "SWEEP_ALLOW_CODE"
"""The head's variable that says whether specs may bring code of their own; where it is not set, they may."""
YES, NO = ("", "1", "yes", "true", "on"), ("0", "no", "false", "off")
LONGEST = 100_000
"""Characters of a packed spec: a process takes no longer variable than 128 KiB."""
LARGEST = 10_000_000
"""Bytes of an unpacked one; what is longer was not packed here."""
SPARED = str.maketrans("$", ",")
"""base85 has no comma."""
SPARED_AGAIN = str.maketrans(",", "$")


def packed(spec: Spec) -> str:
    """A spec's text, its file's name for messages, and the key of its code, as one word of an environment.

    Raises:
        InputError: when that is too long.
    """
    content = {"text": spec.text, "source": Path(spec.source).name, "code": spec.code.key}
    word = _word(json.dumps(content).encode())
    if len(word) > LONGEST:
        raise InputError(
            f"{spec.source} is too long for a job: {len(word):,} characters when packed, at most {LONGEST:,}"
        )
    return word


def _word(content: bytes) -> str:
    import lzma  # not every Python was built with it, and only what is submitted needs it

    return base64.b85encode(lzma.compress(content)).decode().translate(SPARED)


def _content(word: str) -> Any:
    """What a word was made of. Raises InputError where it was not."""
    import lzma

    try:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        content = stream.decompress(base64.b85decode(word.translate(SPARED_AGAIN)), LARGEST)
        if not stream.eof:
            raise ValueError(f"it is cut short, or longer than {LARGEST:,} bytes")
        return json.loads(content)
    except (ValueError, RecursionError, lzma.LZMAError) as error:
        raise InputError(f"{CARRIED} holds no spec: {error}") from error


def carried() -> Spec:
    """The spec that this process's job was submitted with, whose code is loaded then.

    Raises:
        InputError: where it was submitted with none, or with code that this machine does not take or that has not come.
    """
    from search_spaces.loader import parse_spec

    word = os.environ.get(CARRIED)
    if not word:
        raise InputError("this command is what a submitted job runs; to submit one: sweep submit SPEC")
    content = _content(word)
    try:
        text, source, key = (str(content[name]) for name in ("text", "source", "code"))
    except (KeyError, TypeError) as error:
        raise InputError(f"{CARRIED} holds no spec: {error!r}") from error
    code = arrived(key)
    if code:
        _check_allowed(source, code)
        code.check()  # another machine has other modules, which it must not hide
    return parse_spec(text, source, code=code)


def _check_allowed(source: str, code: Code) -> None:
    """Raises InputError where the head's administrator takes no code, or has said neither yes nor no."""
    said = os.environ.get(ALLOW_CODE, "").strip().lower()
    if said in YES:
        return
    if said not in NO:
        raise InputError(f"{ALLOW_CODE} is {said!r} on this cluster's head; it must be 1 or 0")
    raise InputError(
        f"{source} brings code of its own ({', '.join(code.tops)}), and this cluster takes none ({ALLOW_CODE}={said} on"
        " its head): its administrator can allow it, or install it on all machines, as a package with an entry point"
        " `kd_sweep`"
    )


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
