"""`compose.yaml` as Compose reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent.parent.parent / "docker"
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME:-default}` replaced by a variable or its default."""
    return VARIABLE.sub(lambda found: variables.get(found[1]) or found[2], text)


def compose(**variables: str) -> dict[str, Any]:
    """The file's content for a user who has set `variables`."""
    return dict(yaml.safe_load(interpolated((FOLDER / "compose.yaml").read_text(), variables)))
