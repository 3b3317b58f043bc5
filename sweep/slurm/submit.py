"""Hands a script to Slurm."""

from __future__ import annotations

import subprocess
from pathlib import Path

from trainers.errors import InputError

SUBMIT = "sbatch"


def submit(script: Path) -> str:
    """Submit a script; the job's number.

    Raises:
        InputError: where there is no Slurm, or it refuses the script.
    """
    try:
        done = subprocess.run([SUBMIT, "--parsable", str(script)], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError(f"there is no {SUBMIT} here; submit {script} where Slurm's commands are") from error
    if done.returncode != 0:
        raise InputError(f"Slurm refuses {script}: {' '.join(done.stderr.split())}")
    return done.stdout.strip().partition(";")[0]  # with several clusters their name follows
