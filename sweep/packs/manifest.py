"""What a pack says of itself, and which members one may have."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search_spaces.schema import NAME_PATTERN
from trainers.errors import InputError

FORMAT = 1
"""Of packs that are written here; those of a later one are refused."""
MANIFEST = "manifest.json"
"""The first member."""
LARGEST_MANIFEST = 2**24
"""Bytes."""
MOST_MEMBERS = 20_000
LEDGER, SPEC, CODE, FIGURE, PAGE = "ledger.db", "spec.yaml", "code.json", "figure.png", "report.html"
TABLE = "leaderboard"
SUFFIXES = ("md", "csv", "json", "tex")
"""Of the table."""
NEEDED = (LEDGER, SPEC)
_PART = r"[^/\\:\x00-\x1f\x7f]+"
MEMBERS = re.compile(
    rf"ledger\.db|spec\.yaml|code\.json|figure\.png|report\.html|{TABLE}\.({'|'.join(SUFFIXES)})"
    rf"|figures/{_PART}\.(png|pdf)|code/({_PART}/)*{_PART}|passports/[0-9a-f]+\.json|weights/[0-9a-f]+\.safetensors"
)
"""Paths of what a pack of this format may hold."""


class Member(BaseModel):
    """One file of a pack."""

    model_config = ConfigDict(frozen=True, strict=True)

    size: Annotated[int, Field(ge=0, lt=2**48)]
    """Bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What a pack holds. Whoever made the file may have written it, so each field is checked when it is read."""

    model_config = ConfigDict(frozen=True, strict=True)

    format: int
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """The sweep's."""
    ledger: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """The ledger's id."""
    releases: dict[str, str]
    """That the pack was made with, by package."""
    members: Annotated[dict[str, Member], Field(max_length=MOST_MEMBERS)]
    """All files but this one, by path."""


class _Head(BaseModel):
    """What every format's manifest has."""

    format: Annotated[int, Field(strict=True, ge=1)]
    releases: dict[str, str] = {}


def read_manifest(text: bytes, what: str) -> Manifest:
    """The manifest in a pack.

    Raises:
        InputError: naming `what`, where it is none, or of a later format.
    """
    try:
        head = _Head.model_validate_json(text)
        if head.format > FORMAT:
            made = head.releases.get("kd-sweep", "unknown")
            raise InputError(
                f"{what} was made by a later release (kd-sweep {made}, format {head.format}; this one reads up to"
                f" {FORMAT}); update kd-sweep to open it"
            )
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(f"{what} is no pack: its {MANIFEST} is wrong at {where!r}") from error
    for path in manifest.members:
        check_member(path, what)
    lacking = [name for name in NEEDED if name not in manifest.members]
    if lacking:
        raise InputError(f"{what} is no pack: it lacks {lacking[0]}")
    return manifest


def check_member(path: str, what: str) -> None:
    """Raises InputError for a path that leads out of the pack's folder, or that no pack of this format has."""
    if not MEMBERS.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise InputError(f"{what} holds {path!r}, which no pack of format {FORMAT} has")
