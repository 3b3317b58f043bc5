"""The script of a job: `sweep run`, again and again until the sweep is done; on several nodes over a Ray that ``srun``
starts there (:mod:`sweep.slurm.several`).

Slurm tells the script of the coming end by :data:`~sweep.engine.stop_signals.NOTICE` (``--signal=B:…``, to the script
alone), which hands that on. The run ends with :data:`~sweep.exit_codes.TIME_UP` when its epochs are on the disk, and
the script puts its job back into the queue. Where Slurm ends the job for another reason (somebody cancels it, another
job takes its place), all its processes get SIGTERM, and nobody queues it again but Slurm itself.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from search_spaces.files import SHIPPED, find_spec
from sweep.exit_codes import TIME_UP
from sweep.layout import Root
from sweep.slurm import several
from sweep.slurm.wanted import Wanted
from sweep.text import without_password
from trainers.errors import InputError
from trainers.storage.files import write_atomically

CONTAINER = "APPTAINER_CONTAINER"
"""Apptainer names its image so inside of one, where this Python is the image's."""
HANDED_ON = ("PYTHONPATH",)
"""Of this environment, into the script: not all sites hand it on. What may hold a password is left to Slurm."""

ONE_OF_ARRAY = '"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"'
"""By which one job of an array is named; the number of its last one is that of them all."""

TEXT = """\
#!/bin/bash
# Runs the sweep '{name}' as a job of Slurm, and queues itself again when its time is up.
# Written by `sweep slurm`, which writes it anew. Submit it: sbatch {script}
{options}

cd {folder} || exit 2
trap '' USR2 # until there is a run to hear it
{exports}
job={job}
echo {number} > {noted}
# when Slurm will end this job, in seconds since 1970; nothing where it does not say
ends() {{
    local told
    told=$(SLURM_TIME_FORMAT=standard squeue --noheader --jobs="$job" --format=%e) &&
        [ -n "$told" ] && date --date="$told" +%s
}}
SLURM_JOB_END_TIME=${{SLURM_JOB_END_TIME:-$(ends)}}
[ -n "$SLURM_JOB_END_TIME" ] && export SLURM_JOB_END_TIME || unset SLURM_JOB_END_TIME
{begin}
{command} &
sweep=$!
trap 'kill -USR2 "$sweep"' USR2 # its time is nearly up
trap 'kill -TERM "$sweep"' TERM # it was cancelled, or has to make room
while kill -0 "$sweep" 2>/dev/null; do wait "$sweep"; done
wait "$sweep"
code=$?
trap '' USR2 TERM # Slurm ends what it puts back into the queue
{end}if [ "$code" -eq {time_up} ]; then
    scontrol requeue "$job" || echo "not queued again: sbatch "{script}" goes on"
fi
exit "$code"
"""


def written(
    spec: str, name: str, root: Root, wanted: Wanted, storage: str | None = None, tracking_uri: str | None = None
) -> Path:
    """Write the script of a sweep's job; where it lies.

    Args:
        spec: its file, or a shipped one's name.
        name: the sweep's.
        root: below which the job writes, and the script lies.
        wanted: what the job asks for.
        storage: what the root is a copy of, as it was named; None where it is no copy.
        tracking_uri: MLflow's; None for what the job's environment has.

    Raises:
        InputError: where that cannot be asked for, or would be a password in a file.
        StorageError: where the script cannot be written.
    """
    file = root.slurm(name).absolute()
    write_atomically(file, text(spec, name, root, wanted, storage, os.environ, tracking_uri).encode())
    return file


def text(
    spec: str,
    name: str,
    root: Root,
    wanted: Wanted,
    storage: str | None,
    environment: Mapping[str, str],
    tracking_uri: str | None = None,
) -> str:
    """The script's text (see :func:`written`)."""
    file = root.slurm(name).absolute()
    command = _entered(environment.get(CONTAINER, ""), wanted, root)
    command += [sys.executable, "-m", "kd_sweep", "run", _found(spec), "--root", str(root.path.absolute())]
    if wanted.array is not None:
        if storage:
            raise InputError("--array divides a sweep over a disk that all nodes see: leave --storage out")
        command += ["--divide"]
    for option, uri in (("--storage", storage), ("--tracking-uri", tracking_uri)):
        command += [option, _without_password(option, uri)] if uri else []
    exports = {name: environment[name] for name in HANDED_ON if environment.get(name)}
    return TEXT.format(
        name=name,
        script=shlex.quote(_line(str(file))),
        options="\n".join(f"#SBATCH {option}" for option in _options(name, file, wanted)),
        folder=shlex.quote(str(Path.cwd())),
        exports="".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports.items()),
        job=ONE_OF_ARRAY if wanted.array is not None else '"$SLURM_JOB_ID"',
        number='"${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}"',
        noted=shlex.quote(_line(str(root.slurm_job(name).absolute()))),
        begin=several.begin() if wanted.nodes > 1 else "",
        command=shlex.join(command) + (several.ADDRESS if wanted.nodes > 1 else ""),
        end=several.END if wanted.nodes > 1 else "",
        time_up=TIME_UP,
    )


def _entered(image: str, wanted: Wanted, root: Root) -> list[str]:
    """What runs the rest in the image that this runs in; nothing where that is none."""
    if not image:
        return []
    if wanted.nodes > 1:
        raise InputError(
            f"in a container ({image}) a sweep is a job of one node, or an --array of such jobs: leave --nodes"
            f" {wanted.nodes} out"
        )
    binds = [part for folder in (Path.cwd(), root.path.absolute()) for part in ("--bind", _line(str(folder)))]
    return ["apptainer", "exec", *(["--nv"] if wanted.gpus else []), *binds, _line(image)]


def _options(name: str, file: Path, wanted: Wanted) -> list[str]:
    log = _line(str(file.with_name(f"{name}-"))).replace("%", "%%")
    log += "%j.log" if wanted.array is None else "%A_%a.log"
    return [
        f"--job-name={name}",
        *wanted.options(),
        f"--signal=B:USR2@{wanted.notice}",
        "--requeue",
        "--open-mode=append",
        f"--output={shlex.quote(log)}",
    ]


def _found(spec: str) -> str:
    path = find_spec(spec)
    return path.stem if path.parent == SHIPPED else str(path.absolute())


def _without_password(option: str, uri: str) -> str:
    if without_password(uri) != uri:
        raise InputError(
            f"{option} {without_password(uri)} holds a password, which no script should; leave it to the environment,"
            " which Slurm hands on (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)"
        )
    return uri


def _line(path: str) -> str:
    if not path.isprintable():
        raise InputError(f"{path!r} cannot be named in a script of Slurm's: it holds characters that cannot be printed")
    return path
