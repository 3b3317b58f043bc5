"""The command: see :mod:`benchmarks.gpu`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import benchmarks.gpu
from benchmarks.gpu.findings import Findings, read
from benchmarks.gpu.running import PART_SECONDS, Run, Stage, limit, run_all
from benchmarks.gpu.show import BEGUN, runs, tables
from benchmarks.gpu.stages import PARTS, every
from trainers.errors import InputError
from trainers.repository import state

INTERRUPTED = 130


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=benchmarks.gpu.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--part", choices=PARTS, help="the stages of one part; default: all")
    what.add_argument("--stages", type=_names, help="some stages, by name: machine,views")
    what.add_argument("--show", type=Path, nargs="+", metavar="FILE", help="print what was found as Markdown")
    what.add_argument("--list", action="store_true", help="print the stages")
    parser.add_argument("--out", type=Path, default=Path("gpu-findings.jsonl"), help="what is added to (%(default)s)")
    parser.add_argument("--device", default="cuda", help="torch's name of it (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    parser.add_argument("--commit", help="that is measured; default: as git tells")
    parser.add_argument("--within", type=float, metavar="SECONDS", help="for all stages; default: 290 a part")
    return parser.parse_args(words)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in every()]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"no stage is called '{', '.join(unknown)}'; there are {', '.join(every())}")
    return names


def chosen(options: argparse.Namespace) -> list[Stage]:
    """The stages that are asked for, in order."""
    if options.part:
        return PARTS[options.part]
    return [stage for name, stage in every().items() if not options.stages or name in options.stages]


def seconds(options: argparse.Namespace, stages: Sequence[Stage]) -> float:
    """That they may take."""
    if options.within is not None:
        return float(options.within)
    if options.part and not options.quick:
        return PART_SECONDS
    return sum(limit(stage, quick=options.quick) for stage in stages)


def main(words: Sequence[str] | None = None) -> int:
    """Run the stages, or show what they found; the exit code: 1 where a stage did not finish."""
    options = parsed(sys.argv[1:] if words is None else words)
    try:
        if options.list:
            print("\n".join(listed()))
            return 0
        if options.show:
            print("\n\n".join(tables(read(file)) for file in options.show))
            return 0
        return run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def listed() -> Iterator[str]:
    """A line for each stage."""
    for part, stages in PARTS.items():
        yield from (f"{part:12} {stage.name:10} {stage.seconds:4.0f} s  {stage.settles}" for stage in stages)


def run(options: argparse.Namespace) -> int:
    """Run the stages and print what they found."""
    signal.signal(signal.SIGTERM, _interrupt)
    findings, stages = Findings(options.out), chosen(options)
    findings.begin()
    findings.add(
        {
            "stage": BEGUN,
            "at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "commit": options.commit or commit(),
            "device": options.device,
            "quick": options.quick,
            "stages": [stage.name for stage in stages],
        }
    )
    done = run_all(stages, Run(findings, options.device, options.quick, seconds(options, stages)), _tell)
    print("\n" + tables(runs(read(options.out))[-1]))
    return 0 if done else 1


def commit() -> str:
    """The checkout's, marked where files differ from it; a copy without git does not tell."""
    known = state(Path(__file__).parent)
    return known.commit[:9] + ("-dirty" if known.dirty else "") if known else "unknown"


def _tell(line: str) -> None:
    print(line, flush=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
