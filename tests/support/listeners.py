"""Who listens on a host, and who asks in vain, from the kernel's own tables."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

LISTENING, SYN_SENT = "0A", "02"


@dataclass(frozen=True)
class Listener:
    """A socket that takes connections."""

    address: str
    """That it is bound to: ``all`` of the host's, its ``own``, or the ``loopback``."""
    port: int
    process: str
    """Its command line, or the title that it has given itself."""


def listeners(pid: int) -> list[Listener]:
    """Those of the network namespace of a process.

    Raises:
        AssertionError: where one belongs to no process.
    """
    owners = _owners(pid)
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] != LISTENING:
                continue
            address, port = _place(fields[1])
            assert fields[9] in owners, f"nobody's: {address}:{port}"
            found.add(Listener(address, port, owners[fields[9]]))
    return sorted(found, key=lambda one: (one.process, one.port))


def asks_in_vain(pid: int, port: int) -> bool:
    """Whether a process in the network namespace of `pid` waits for an answer from such a port on another host."""
    tables = (Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6"))
    fields = (line.split() for lines in tables for line in lines)
    return any(field[3] == SYN_SENT and _place(field[2])[1] == port for field in fields)


def _place(text: str) -> tuple[str, int]:
    """``0100007F:1F90`` is the loopback's port 8080; the kernel writes each word in the machine's byte order."""
    words, _, port = text.partition(":")
    packed = b"".join(struct.pack("=I", int(words[start : start + 8], 16)) for start in range(0, len(words), 8))
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return "all" if address.is_unspecified else "loopback" if address.is_loopback else "own", int(port, 16)


def _owners(pid: int) -> dict[str, str]:
    """The command of the process that has a socket, by the socket's number, within the network namespace of `pid`."""
    network = Path(f"/proc/{pid}/ns/net").readlink()
    found: dict[str, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (process / "ns" / "net").readlink() == network:
                found |= dict.fromkeys(_sockets(process), _title(process))
    return found


def _sockets(process: Path) -> Iterator[str]:
    for file in (process / "fd").iterdir():
        with suppress(OSError):
            name = str(file.readlink())
            if name.startswith("socket:["):
                yield name.removeprefix("socket:[").removesuffix("]")


def _title(process: Path) -> str:
    return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
