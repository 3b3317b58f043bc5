"""A student as files that others use: the network with its preprocessing, what it is, and a card for people.

A folder holds one student, in as many formats as it was exported in; ``student.json`` knows them, and the card is made
of it. A file is written aside and checked there, so that one that fails was never in the folder.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sweep.students import card
from sweep.students.about import About
from sweep.students.checking import Check, check, sample
from sweep.students.file_formats import FORMATS, KINDS, OPSET, FileFormat, Format, check_name, whose
from sweep.students.graph import PIXELS, Pixels
from sweep.students.student import Student
from trainers.errors import InputError, StorageError, unknown_name
from trainers.storage.content import tensors_key
from trainers.storage.files import write_atomically

ABOUT, CARD = "student.json", "README.md"
"""Of a folder what programs read, and what people do."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    file: Path
    check: Check


def default_folder(about: About) -> Path:
    """Where a student goes unless the user says otherwise: ``digits-alpha-resnet8-kd-seed0`` in this folder."""
    words = f"{about.sweep}-{about.architecture}-{about.row}-seed{about.seed}".replace("α", "alpha").replace(
        "γ", "gamma"
    )
    return Path(re.sub(r"[^A-Za-z0-9._-]+", "-", words.replace("=", "")).strip("-"))


def export(
    student: Student,
    about: About,
    form: str,
    folder: Path | None = None,
    *,
    pixels: str = "float",
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a student as one file, check it, and write what it is beside it.

    Args:
        student: on the CPU, in evaluation mode.
        about: whose it is.
        form: one of :data:`~sweep.students.file_formats.FORMATS`.
        folder: where to; :func:`default_folder` where nothing is said. It may hold the same student in other formats.
        pixels: what a graph reads; see :data:`~sweep.students.graph.Pixels`.
        say: is told what is being done, in a few words.

    Raises:
        InputError: for another format or pixels, a package that is missing, a network that has no such graph, and a
            folder that holds something else.
        CheckpointError: where the file does not give the student's logits; it is not there then.
        StorageError: when nothing can be written.
    """
    if pixels not in PIXELS:
        raise InputError(unknown_name("pixels", pixels, PIXELS))
    name = check_name(form)
    _refuse_a_graph(student, name, about)
    kind, place = KINDS[name], folder if folder is not None else default_folder(about)
    identity = tensors_key(student.network.state_dict())
    before = _known(place, identity)
    say("reading test images for the check")
    images = sample(about)
    say(f"writing {place / kind.file}, and checking it")
    made = _written(kind, student, about, "uint8" if pixels == "uint8" else "float", place, images)
    files = before | {kind.file: _entry(name, kind, pixels, made)}
    content = {"weights": identity, **about.told, "chosen": list(about.chosen), "size": about.size, "files": files}
    write_atomically(place / ABOUT, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")
    write_atomically(place / CARD, card.written(about, files).encode())
    return Exported(place, place / kind.file, made)


def _refuse_a_graph(student: Student, form: Format, about: About) -> None:
    """MLflow has a student's graph, from which no network of ours can be built."""
    if form == "safetensors" and isinstance(student.network, torch.fx.GraphModule):
        raise InputError(
            f"{whose(about)} was read off an MLflow server, which has its graph alone: export it as"
            f" {' or '.join(other for other in FORMATS if other != form)}, or where the sweep ran"
        )


def _known(folder: Path, identity: str) -> dict[str, Any]:
    """The files of a student that a folder holds already. Raises InputError where it holds another's, or none's."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, where a folder is wanted; name another with --out")
    try:
        content = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if content["weights"] == identity:
            files = {name: entry for name, entry in content["files"].items() if (folder / name).is_file()}
            return {name: entry for name, entry in files.items() if _checked(name, entry)}
        whose = f"another student ({content['place']['row']}, seed {content['place']['seed']})"
    except (FileNotFoundError, NotADirectoryError):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return {}
        whose = "other files"
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        whose = f"a {ABOUT} that was not written here"
    raise InputError(f"{folder} holds {whose}; name another folder with --out")


def _checked(name: str, entry: dict[str, Any]) -> bool:
    """That an entry is one of :func:`_entry`, of which the card can be made; raises ValueError or TypeError if not."""
    Check(**entry["check"]).words  # noqa: B018, as the card asks for them
    if KINDS[entry["format"]].file != name or "torch" not in entry:
        raise ValueError(name)
    return True


def _written(kind: FileFormat, student: Student, about: About, pixels: Pixels, folder: Path, on: Any) -> Check:
    """The file in its place, where it has passed the check."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as work:
            file = Path(work) / kind.file
            kind.write(student, about, pixels, file)
            made = check(kind, file, student, pixels, on)
            file.replace(folder / kind.file)
    except OSError as error:
        raise StorageError(f"cannot write {folder / kind.file}: {error.strerror or error}") from error
    finally:
        _leave_nothing(folder)
    return made


def _leave_nothing(folder: Path) -> None:
    """Remove a folder that is empty: what failed leaves nothing behind."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _entry(form: Format, kind: FileFormat, pixels: str, made: Check) -> dict[str, Any]:
    """What ``student.json`` says of a file."""
    reads = {"pixels": pixels} if kind.graph else {}
    opset = {"opset": OPSET} if form == "onnx" else {}
    return {"format": form, **reads, **opset, "torch": str(torch.__version__), "check": asdict(made)}
