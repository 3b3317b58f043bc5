"""Hosts of a test's own, on this machine: namespaces that share the kernel alone and, read only, what is installed.

Each host has an address on a network that leads nowhere else, a name, its own process numbers, and one disk of limited
size, on which its ``/tmp``, its home and all else that it writes lie. The others' disks it does not see, nor this
machine's, of which it can change nothing. It can be cut off, filled up, and killed whole.

Nothing has a name outside: the network and each host are held by one process, which ends when its input does, so with
this process at the latest, whatever happens to it; the kernel then takes away all that belongs to it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tests.support.command import LONGEST

T = TypeVar("T")
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
"""Of Linux: a thread's own folder and root; mount namespaces."""
DISK = Path("/mnt")
"""Where a host's disk is mounted there."""
HOME = DISK / "home"
DISK_MB = 600
SHARED_MEMORY_MB = 300
"""Of ``/dev/shm``, where Ray's object store lies."""
NETWORK = "10.66.0"
ROUTER = f"{NETWORK}.254"
"""Of the network's bridge. It hands nothing on, but a host without a way out does not know its own address."""
PLAIN = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")
"""All that a host's processes have of this one's environment."""
REPOSITORY = Path(__file__).resolve().parents[2]

BRIDGE = f"""\
set -e
ip link add bridge type bridge
ip address add {ROUTER}/24 dev bridge
ip link set bridge up
echo ready
exec cat
"""

MACHINE = f"""\
set -e
mount -t tmpfs -o size={DISK_MB}m,mode=755 disk {DISK}
mkdir -m 1777 {DISK}/tmp
mkdir {HOME}
for kept; do
    mkdir -p "{DISK}$kept"
    mount --bind "$kept" "{DISK}$kept"
    mount -o remount,bind,ro "{DISK}$kept"
done
mount --rbind {DISK}/tmp /tmp
mount -t tmpfs -o size={SHARED_MEMORY_MB}m,mode=1777 memory /dev/shm
printf '%s' "$HOSTS" >{DISK}/hosts
mount --bind {DISK}/hosts /etc/hosts
touch {DISK}/resolv.conf # nobody to ask for a name: without this each look-up would wait for one
mount --bind {DISK}/resolv.conf /etc/resolv.conf
mount -o remount,bind,ro /
hostname "$NAME"
ip link set lo up
trap '' CHLD # so that the kernel buries orphans: this is their process 1
echo ready
exec cat
"""
"""What process 1 of a host does. `kept` are the folders below this machine's ``/tmp`` that it is to see."""


@cache
def missing() -> str:
    """Why there can be no hosts here; empty where there can."""
    absent = [program for program in ("unshare", "nsenter", "ip", "mount") if shutil.which(program) is None]
    if absent:
        return f"no {', '.join(absent)} (Debian: util-linux, iproute2)"
    if os.geteuid():
        return "namespaces of hosts need root"
    try:
        with hosts("first", "other") as made:
            made["first"].ask("bash", "-c", f"! echo >/dev/tcp/{made['other'].address}/9 2>&1 | grep unreachable")
    except (OSError, AssertionError) as error:
        return f"this machine makes no namespaces: {error}"
    return ""


class Held:
    """Namespaces, and the process that they live and die with.

    Args:
        options: of `unshare`, which say which.
        script: of the process; it says ``ready``, and ends with its input.
        arguments: of the script.
        known: besides this process's environment.
    """

    def __init__(
        self, options: Sequence[str], script: str, arguments: Sequence[str] = (), known: Mapping[str, str] | None = None
    ) -> None:
        command = ["unshare", *options, "sh", "-c", script, "hold", *arguments]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, env=os.environ | (known or {}), stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd="/"
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        if self._process.stdout.readline() != "ready\n":
            said = self._process.stderr.read()
            self.close()
            raise AssertionError(f"{' '.join(command[:-1])}: {said}")
        below = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.pid = int(below[0]) if below else self._process.pid
        """Its number on this machine."""

    def enter(self, namespaces: Sequence[str], *command: str) -> list[str]:
        """The words of a command in these namespaces."""
        return ["nsenter", f"--target={self.pid}", *(f"--{name}" for name in namespaces), "--", *command]

    def close(self) -> None:
        self._process.kill()  # `--kill-child` kills what it has started
        self._process.communicate()


class Host:
    """One of :func:`hosts`."""

    def __init__(self, name: str, number: int, network: Held, names: str, environment: dict[str, str]) -> None:
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self.environment = environment
        """Of all its processes."""
        self._network, self._link, self._alive = network, f"host{number}", True
        self._begun: list[subprocess.Popen[Any]] = []
        kept = sorted({path for path in (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)) if _is_hidden(path)})
        options = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._held = Held(options, MACHINE, [str(path) for path in kept], {"NAME": name, "HOSTS": names})
        self._plug_in()

    @property
    def pid(self) -> int:
        """This machine's number of the host's process 1."""
        return self._held.pid

    def outside(self, path: Path) -> Path:
        """A path of the host's as this machine sees it, while the host lives."""
        return Path(f"/proc/{self.pid}/root") / path.relative_to("/")

    def start(self, *command: str, folder: Path = HOME, **options: Any) -> subprocess.Popen[Any]:
        """Begin a command there, in a process group of its own.

        Args:
            command: its words.
            folder: of the host's, to start in.
            options: of `subprocess.Popen`; `env` is what it knows besides :attr:`environment`.
        """
        known = self.environment | options.pop("env", {})
        words = self._held.enter(("net", "mount", "uts", "ipc", "pid"), "env", f"--chdir={folder}", *command)
        process = subprocess.Popen(words, env=known, start_new_session=True, **options)
        self._begun.append(process)
        return process

    def ask(self, *command: str, **environment: str) -> str:
        """What a command prints that must end well."""
        pipe = subprocess.PIPE
        process = self.start(*command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
        out, err = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, f"{' '.join(command)} on {self.name}: {out}{err}"
        return str(out)

    def processes(self, word: str = "") -> list[int]:
        """This machine's numbers of the host's processes on whose command line the word stands."""
        space, found = Path(f"/proc/{self.pid}/ns/pid").readlink(), []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                there = (process / "ns" / "pid").readlink() == space
                if there and word.encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
        return found

    def within(self, call: Callable[[], T]) -> T:
        """What a function gives that is called here, and sees the host's disk as the host does.

        SQLite would follow the links in an :meth:`outside` path, and end on this machine's disk. The thread that
        enters shares neither root nor folder with the others any more.
        """

        def entered() -> T:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/proc/{self.pid}/ns/mnt").open() as space:
                if libc.unshare(CLONE_FS) or libc.setns(space.fileno(), CLONE_NEWNS):
                    raise OSError(ctypes.get_errno(), f"{self.name} was not entered")
            return call()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(entered).result()

    # -- what may go wrong with it ------------------------------------------------------------------------------------

    def cut_off(self) -> None:
        """Pull its cable: what it sends, and what is sent to it, is lost without a word."""
        self._tell_network("link", "set", self._link, "down")

    def reconnect(self) -> None:
        self._tell_network("link", "set", self._link, "up")

    def fill(self) -> None:
        """Leave no byte of its disk free."""
        with self._filling.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1_000_000))
                    file.flush()
            except OSError:
                pass

    def empty(self) -> None:
        """Take away what :meth:`fill` has written."""
        self._filling.unlink()

    def kill(self) -> None:
        """Cut its power: all its processes end at once, and its disk is gone."""
        if self._alive:
            self._held.close()
            for process in self._begun:
                process.wait(LONGEST)
            self._alive = False

    @property
    def _filling(self) -> Path:
        return self.outside(DISK / "filling")

    def _plug_in(self) -> None:
        self._tell_network("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        self._tell_network("link", "set", self._link, "master", "bridge", "up")
        for words in (
            ["address", "add", f"{self.address}/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", ROUTER],
        ):
            _told(self._held.enter(("net",), "ip", *words))

    def _tell_network(self, *words: str) -> None:
        _told(self._network.enter(("net",), "ip", *words))


def _told(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def _is_hidden(path: Path) -> bool:
    return path.is_relative_to("/tmp")


@contextmanager
def hosts(*names: str, **environment: Mapping[str, str]) -> Iterator[dict[str, Host]]:
    """Hosts of these names, by which they know each other.

    Args:
        names: theirs.
        environment: what the processes of a host know besides the way to what is installed, by the host's name.
    """
    lines = "".join(f"{NETWORK}.{number} {name}\n" for number, name in enumerate(names, start=1))
    plain = {name: os.environ[name] for name in PLAIN if name in os.environ}
    plain |= {
        "PATH": f"{Path(sys.executable).parent}:{plain['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(HOME),
    }
    with ExitStack() as stack:
        network = Held(["--net"], BRIDGE)
        stack.callback(network.close)
        made = {}
        for number, name in enumerate(names, start=1):
            known = plain | dict(environment.get(name, {}))
            made[name] = Host(name, number, network, f"127.0.0.1 localhost\n{lines}", known)
            stack.callback(made[name].kill)
        yield made


def wait_for(what: str, enough: Callable[[], object], *processes: subprocess.Popen[Any]) -> None:
    """Until something is so, or one of the processes, which must live meanwhile, has ended."""
    deadline = time.monotonic() + LONGEST
    while not enough():
        ended = [process.args for process in processes if process.poll() is not None]
        assert not ended, f"{ended} ended before {what}"
        assert time.monotonic() < deadline, f"not {what} after {LONGEST} s"
        time.sleep(0.1)
