"""Ports for servers that the tests start."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
QUIET = range(20_000, 32_000)
"""Below the numbers that Linux gives to connections and to servers that ask for any port (from 32768), and above those
of Ray's workers (to 19999): nobody else takes one between the choice and the server's start."""


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    found: list[int] = []
    for port in random.SystemRandom().sample(QUIET, len(QUIET)):
        if len(found) == count:
            break
        if _is_free(port):
            found.append(port)
    return found


def free_port() -> int:
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
