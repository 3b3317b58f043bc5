"""In place of the script that becomes a worker of Ray's: the same, without importing Ray twice.

Ray starts a worker by a script that imports Ray, sets the environment, and becomes a Python that imports Ray again.
Where nothing but the environment is asked for, which is all that a sweep asks for, this does it without. Run as a
script, with none of Ray's or ours imported.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

CONTEXT = "--serialized-runtime-env-context="
"""The argument that says what a worker is to find; as JSON."""
LANGUAGE = "--language=PYTHON"
DONE_HERE = {"env_vars", "py_executable"}
"""What of it is done here."""


def command(arguments: list[str]) -> tuple[list[str], dict[str, str]] | None:
    """What a worker is run by and what is added to its environment; None where that takes Ray's own script.

    Args:
        arguments: of Ray's script: the worker's program and arguments, and among them what is asked for.
    """
    contexts = [one.removeprefix(CONTEXT) for one in arguments if one.startswith(CONTEXT)]
    if len(contexts) != 1 or LANGUAGE not in arguments:
        return None
    asked: dict[str, Any] = {name: value for name, value in json.loads(contexts[0] or "{}").items() if value}
    told: dict[str, str] = asked.get("env_vars", {})
    if asked.keys() - DONE_HERE or any("$" in value for value in told.values()):  # Ray puts other variables in
        return None
    rest = [one for one in arguments if not one.startswith(CONTEXT) and one != LANGUAGE]
    return [asked.get("py_executable", sys.executable), *rest], told


def main(ray_own: str, arguments: list[str]) -> None:
    """Become a worker.

    Args:
        ray_own: path of Ray's script.
        arguments: its arguments.
    """
    known = command(arguments)
    run, told = known or ([sys.executable, ray_own, *arguments], {})
    os.execve(run[0], run, os.environ | told)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
