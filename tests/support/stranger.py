"""Somebody who knocks at doors of other hosts, with what lets one in or without.

    python -m tests.support.stranger <<< {"authorization": "", "known": false, "doors": ["head:6379", …]}

It says in JSON what each door has answered to each knock that it understood, by door: an HTTP status or a gRPC code,
and :data:`NUMBERS` for a page of counters as Prometheus reads them.
"""

from __future__ import annotations

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc

PAGES = (
    "/",
    "/metrics",
    "/api/jobs/",
    "/api/job_agent/jobs/",
    "/nodes?view=summary",
    "/log_proxy?url=/",
    "/get_runtime_envs_info",
    "/api/2.0/mlflow/experiments/search?max_results=1",
)
CALLS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
    "/ray.rpc.ActorInfoGcsService/GetAllActorInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.NodeManagerService/GetSystemConfig",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.CoreWorkerService/NumPendingTasks",
    "/ray.rpc.RayletDriver/ClusterInfo",
    "/ray.rpc.LogService/ListLogs",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.events.EventAggregatorService/AddEvents",
    "/ray.rpc.autoscaler.AutoscalerStateService/GetClusterStatus",
    "/grpc.health.v1.Health/Check",
)
"""They change nothing, not even for somebody who is let in."""
NOT_FOR_THE_KNOWN = ("/ray.rpc.ObjectManagerService/Pull",)
"""These might; they are for who is not to be let in."""
NUMBERS = "numbers"
SECONDS = 10
NO_SUCH = ("UNIMPLEMENTED", "UNAVAILABLE")
"""What a door says to a call that it does not know, or that speaks no gRPC."""


def page(host: str, port: int, path: str, authorization: str) -> str:
    """The status of a page; nothing where no HTTP is spoken."""
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
        answer = connection.getresponse()
        return NUMBERS if answer.read(6) == b"# HELP" else str(answer.status)
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def call(host: str, port: int, method: str, authorization: str) -> str:
    """The code of a call with an empty message; nothing where the door does not know it."""
    metadata = [("authorization", authorization)] if authorization else []
    with grpc.insecure_channel(f"{host}:{port}", options=[("grpc.enable_retries", 0)]) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            code = str(error.code().name)
            return "" if code in NO_SUCH else code
    return "OK"


def knock(authorization: str, calls: tuple[str, ...], door: tuple[str, int]) -> dict[str, str]:
    """What a door answers, by the question."""
    found = {path: page(*door, path, authorization) for path in PAGES}
    if not any(found.values()):  # it speaks no HTTP
        found = {method: call(*door, method, authorization) for method in calls}
    return {question: answer for question, answer in found.items() if answer}


def main() -> None:
    asked = json.load(sys.stdin)
    doors = [(host, int(port)) for host, _, port in (door.partition(":") for door in asked["doors"])]
    calls = CALLS if asked["known"] else (*CALLS, *NOT_FOR_THE_KNOWN)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(partial(knock, asked["authorization"], calls), doors)
    print(json.dumps(dict(zip(asked["doors"], answers, strict=True))))


if __name__ == "__main__":
    main()
