"""What a job asks Slurm for."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from trainers.errors import InputError

TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
"""``minutes``, ``minutes:seconds``, ``hours:minutes:seconds``, ``days-hours``, ``days-hours:minutes`` and
``days-hours:minutes:seconds``: as in ``man sbatch``."""
NOTICE_SECONDS = 300
"""How long before its end a job hears of it, of a day; Slurm may say so up to a minute sooner."""
NOTICE_SHARE = 4
"""Of a short one in the last quarter."""
OURS = (
    "nodes",
    "ntasks-per-node",
    "signal",
    "requeue",
    "no-requeue",
    "open-mode",
    "output",
    "error",
    "job-name",
    "ntasks",
    "wrap",
    "parsable",
    "array",
)
"""What the script itself says."""
SHORT = {"o": "output", "e": "error", "J": "job-name", "n": "ntasks", "N": "nodes", "a": "array"}
BEFORE = ("nodes", "array")
"""Of which ours are other options of `sweep slurm`."""


@dataclass(frozen=True)
class Wanted:
    """What a job asks Slurm for; None leaves it to the partition."""

    time: str | None = None
    """Wall time of each start, as Slurm writes it: ``12:00:00``."""
    gpus: str | None = None
    """GPUs: ``4``, or ``a100:4``."""
    cpus: int | None = None
    """Cores."""
    partition: str | None = None
    account: str | None = None
    constraint: str | None = None
    nodes: int = 1
    """Nodes; of several each has what is asked for."""
    array: int | None = None
    """Jobs of one node each that divide the sweep's plan; None for one job."""
    more: tuple[str, ...] = ()
    """Further arguments of ``sbatch``'s, as they are typed."""

    def options(self) -> list[str]:
        """As arguments of ``sbatch``'s, quoted, one of them with its value on each line.

        Raises:
            InputError: for what Slurm would not understand, or the script says itself.
        """
        if self.array is not None and self.nodes > 1:
            raise InputError(f"--array {self.array} is of jobs of one node each: leave --nodes {self.nodes} out")
        named = {
            "time": self.time,
            "gpus-per-node": self.gpus,
            "cpus-per-task": self.cpus,
            "partition": self.partition,
            "account": self.account,
            "constraint": self.constraint,
        }
        lines = [f"--{name}={_word(str(value))}" for name, value in named.items() if value is not None]
        jobs = [f"--array=1-{self.array}"] if self.array is not None else []
        return [*jobs, f"--nodes={self.nodes}", "--ntasks-per-node=1", *lines, *_further(self.more)]

    @property
    def notice(self) -> int:
        """Seconds before the end at which the job is to hear of it. Raises InputError where the time is none."""
        return NOTICE_SECONDS if self.time is None else min(NOTICE_SECONDS, seconds(self.time) // NOTICE_SHARE)


def seconds(time: str) -> int:
    """Of a wall time as Slurm writes it. Raises InputError where it is none."""
    parts = TIME.fullmatch(time)
    if parts is None or (parts[1] is None and time.count(":") == 0 and int(time) == 0):
        raise InputError(f"--time {time} is no wall time; write hours:minutes:seconds (12:00:00), or days-hours (2-0)")
    days, *rest = parts.groups()
    first, second, third = (int(part) if part else 0 for part in rest)
    if days is None and parts[4] is None:  # minutes, or minutes:seconds
        return 60 * first + second
    return 86_400 * int(days or 0) + 3600 * first + 60 * second + third


def _further(arguments: tuple[str, ...]) -> list[str]:
    """Arguments of ``sbatch``'s, each with the value that may follow it as a word of its own."""
    lines: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            _check(argument)
            lines.append(_word(argument))
        elif lines:
            lines[-1] += f" {_word(argument)}"
        else:
            raise InputError(f"after -- stand options of sbatch's (--mem=32G), not '{argument}'")
    return lines


def _check(argument: str) -> None:
    short = re.match(r"-(\w)", argument)
    name = SHORT.get(short[1], short[1]) if short else argument.removeprefix("--").partition("=")[0]
    if name in OURS:
        wanted = "give it before the --" if name in BEFORE else "edit it, and submit it by sbatch"
        raise InputError(f"{argument}: the script needs --{name} for itself; {wanted}")


def _word(text: str) -> str:
    if not text.isprintable():  # a line break would begin a command of the script
        raise InputError(f"{text!r} is no option of sbatch's: it holds characters that cannot be printed")
    return shlex.quote(text)
