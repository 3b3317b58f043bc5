"""In place of the agent of a dashboard, which Ray starts beside each node: it says that it listens nowhere.

Ray's imports Ray, serves three ports that no sweep asks, and takes as long to start as a small sweep to train. A node
goes without it where it says of its ports that there are none, as Ray's own does where only a part of Ray is installed.
A node ends where its agent has, so this waits for the node's end. Run as a script, with none of Ray's or ours imported.
"""

from __future__ import annotations

import os
import sys
import time

PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
"""What Ray's agent says of itself, each in a file of the session's folder."""
NOWHERE = "-1"
PROBE_SECONDS = 1.0


def main(arguments: list[str]) -> None:
    """Say what Ray's agent says, and live as long as the process that started this one.

    Args:
        arguments: those of Ray's agent, as ``--name=value``.
    """
    node = os.getppid()
    given = dict(one.partition("=")[::2] for one in arguments)
    for port in PORTS:
        _write(os.path.join(given["--session-dir"], f"{port}_{given['--node-id']}"))  # noqa: PTH118  # a quick start
    while os.getppid() == node:
        time.sleep(PROBE_SECONDS)


def _write(path: str) -> None:
    with open(f"{path}.part", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(NOWHERE)
    os.replace(f"{path}.part", path)  # noqa: PTH105


if __name__ == "__main__":
    main(sys.argv[1:])
