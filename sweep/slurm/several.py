"""What a script has besides where its job is on several nodes: a Ray of the job's own, one part of it on each node.

Other people's Rays may run on the same nodes. So this one has a port by the job's number, a token that is drawn at each
start and is in the job's environment alone, and folders that only we may enter. (``ray symmetric-run`` refuses where
any Ray runs, and takes no port.)
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from sweep.engine.ray_internals.settings import NO_DRAINING, NO_MEMORY_MONITOR, NO_WORKERS_AHEAD
from sweep.engine.session import OBJECT_STORE_BYTES

ADDRESS = ' --address "$SWEEP_HEAD:$SWEEP_PORT"'
"""Of that Ray, for the command."""

BEGIN = """
# a Ray of this job's own on its nodes: a port by the job's number, a token, and folders that nobody else may enter
RAY_AUTH_TOKEN=$(od --address-radix=n --format=x1 --read-bytes=32 /dev/urandom | tr --delete ' \\n')
SWEEP_HEAD=$({python} -c 'import ray.util; print(ray.util.get_node_ip_address())') || exit 2
SWEEP_PORT=$((20000 + 2 * (SLURM_JOB_ID % 6000)))
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN SWEEP_HEAD SWEEP_PORT {settings}
listens() {{ (exec 3<>"/dev/tcp/$SWEEP_HEAD/$SWEEP_PORT") 2>/dev/null; }}
node() {{
    local folder told=
    folder=$(mktemp --directory /tmp/sweep-ray-XXXXXXXX) || return
    trap 'told=1' TERM # on which Ray's processes end, and the folder is removed
    set -- --block --temp-dir="$folder/r" --num-cpus="$SLURM_CPUS_ON_NODE" --object-store-memory={store} \\
        --dashboard-agent-listen-port=0 --disable-usage-stats
    if [ "$SLURM_PROCID" -eq 0 ]; then
        {ray} start --head --node-ip-address="$SWEEP_HEAD" --port="$SWEEP_PORT" \\
            --ray-client-server-port=$((SWEEP_PORT + 1)) --include-dashboard=False "$@"
    else
        until listens; do sleep 1; done
        {ray} start --address="$SWEEP_HEAD:$SWEEP_PORT" "$@"
    fi >"$folder/said" 2>&1 || [ -n "$told" ] || cat "$folder/said"
    rm --recursive --force "$folder"
}}
export -f listens node
srun --ntasks-per-node=1 ${{SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"}} --kill-on-bad-exit=0 \\
    bash -c node &
ray=$!
until listens; do
    kill -0 "$ray" 2>/dev/null || {{ echo "Ray did not start on this job's nodes"; exit 1; }}
    sleep 1
done
"""

END = """\
for signal in TERM KILL; do # the first lets each node remove its folder
    scancel --signal="$signal" "$SLURM_JOB_ID.0" 2>/dev/null
    for _ in {1..30}; do kill -0 "$ray" 2>/dev/null && sleep 1; done
done
"""
"""Ends that Ray."""


def begin() -> str:
    """Starts that Ray."""
    settings = " ".join(
        f"{name}={value}" for name, value in (NO_MEMORY_MONITOR | NO_WORKERS_AHEAD | NO_DRAINING).items()
    )
    return BEGIN.format(
        python=shlex.quote(sys.executable),
        ray=shlex.quote(str(Path(sys.executable).with_name("ray"))),
        settings=settings,
        store=OBJECT_STORE_BYTES,
    )
