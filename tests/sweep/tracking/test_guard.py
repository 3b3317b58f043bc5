"""Who is let in to the server of `sweep ui`."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from sweep.tracking.guard import GUARDED, HEALTH, Guard, guarded_command
from sweep.tracking.mlflow_internals import APPLICATION

TOKEN = "0123456789abcdef-ABC_"
COOKIE = f"sweep-ui-5000={TOKEN}"
Answer = tuple[int, dict[str, str], str]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Lets everybody do everything."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"deleted"})


def asked(path: str, kind: str = "http", raw: bytes | None = None, **headers: str) -> Answer:
    """What a guarded server answers: status, headers and text."""
    place, _, query = path.partition("?")
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {
        "type": kind,
        "method": "POST",
        "path": place,
        "raw_path": raw or place.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 5000),
    }
    asyncio.run(Guard(application, TOKEN)(scope, receive, send))
    if sent[0]["type"] == "websocket.close":
        return sent[0]["code"], {}, ""
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, sent[1]["body"].decode()


DELETE = "/api/2.0/mlflow/experiments/delete"
STRANGERS: dict[str, dict[str, str]] = {
    "nothing": {},
    "a wrong cookie": {"cookie": f"sweep-ui-5000={TOKEN[:-1]}"},
    "an empty cookie": {"cookie": "sweep-ui-5000="},
    "the cookie of another port": {"cookie": f"sweep-ui-5001={TOKEN}"},
    "a cookie that is none": {"cookie": "\\x00;=;[]"},
    "a wrong header": {"authorization": "Bearer " + TOKEN[:-1]},
    "an empty header": {"authorization": "Bearer "},
    "a login": {"authorization": f"Basic {TOKEN}"},
    "letters of no token": {"authorization": "Bearer ä"},
}


@pytest.mark.parametrize("path", ["/", DELETE, "/graphql", "/static-files/main.js", "/healthy", "/health/../graphql"])
@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_is_refused_whatever_he_asks_for(path: str, headers: dict[str, str]) -> None:
    status, _, text = asked(path, **headers)
    assert status == 403
    assert "sweep ui" in text
    assert TOKEN not in text


@pytest.mark.parametrize("query", ["?token=", "?token", f"?token={TOKEN}x", f"?tokens={TOKEN}", f"?a=token={TOKEN}"])
def test_a_link_with_another_token_is_refused(query: str) -> None:
    assert asked("/" + query)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [{"cookie": COOKIE}, {"cookie": f"a=b; {COOKIE}; c=d"}, {"authorization": f"Bearer {TOKEN}"}],
    ids=["a browser", "a browser with others' cookies", "MLflow's client"],
)
def test_whoever_shows_the_token_is_let_in(headers: dict[str, str]) -> None:
    assert asked(DELETE, **headers) == (200, {}, "deleted")


def test_a_link_leads_on_to_the_page_without_the_token_and_is_remembered() -> None:
    status, headers, _ = asked(f"/?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/")
    cookie, _, rest = headers["set-cookie"].partition(";")
    assert cookie == COOKIE
    assert {part.strip() for part in rest.split(";")} == {"Path=/", "HttpOnly", "SameSite=Lax"}
    assert asked("/", cookie=cookie)[0] == 200


def test_the_rest_of_an_address_is_kept_and_none_leads_elsewhere() -> None:
    assert asked(f"/a%20b?x=1&token={TOKEN}&y=%26", raw=b"/a%20b")[1]["location"] == "/a%20b?x=1&y=%26"
    assert asked(f"//evil.example/?token={TOKEN}")[1]["location"] == "/evil.example/"
    assert asked(f"/\\evil.example/?token={TOKEN}")[1]["location"] == "/evil.example/"


def test_everybody_hears_that_the_server_is_there() -> None:
    assert asked(HEALTH)[0] == 200


def test_a_socket_without_the_token_is_closed() -> None:
    assert asked("/socket", kind="websocket")[0] == 1008
    assert asked(f"/socket?token={TOKEN}", kind="websocket")[0] == 1008
    assert asked("/socket", kind="websocket", cookie=COOKIE)[0] == 200


def test_nothing_is_served_unguarded() -> None:
    """By the installed release of MLflow, whose function it is."""
    import mlflow.server

    command = mlflow.server._build_uvicorn_command("--log-level warning", "127.0.0.1", 5000, 1, APPLICATION)
    guarded = guarded_command(command)
    assert guarded == [*command[:-1], "--factory", GUARDED]
    assert APPLICATION not in guarded
    with pytest.raises(RuntimeError, match="cannot be guarded"):
        guarded_command([*command[:-1], "mlflow.server:other"])
    assert "_build_uvicorn_command(" in inspect.getsource(mlflow.server._run_server)
