"""The dashboard as a server: its files and their headers, who may ask what, and what is never asked of Redis."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.http11 import Request

from edgebus.dashboard.dashboard import Dashboard
from edgebus.dashboard.files import CSP, Files
from edges import EdgeSettings, SettingsError
from producers.services import load
from tests.docs.pages import ROOT
from tests.edges.signing import HIDDEN, token

STATIC = ROOT / "edgebus" / "dashboard" / "static"
CLIENT = ROOT / "clients" / "javascript" / "src"
NOWHERE = "redis://127.0.0.1:1"


def get(path: str) -> Any:
    return Files()(None, Request(path, Headers()))


@pytest.mark.parametrize("path", ["/", "/main.js", "/style.css", "/icon.svg", "/client/index.js", "/?x=1"])
def test_files_come_with_the_policy(path: str) -> None:
    """Each file comes with the policy that forbids all else."""
    response = get(path)
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"] == CSP
    assert response.headers["Content-Length"] == str(len(response.body))


@pytest.mark.parametrize(
    "path", ["/index.html", "/../files.py", "/client/../../client.py", "/client/index.d.ts", "//", "/x"]
)
def test_nothing_else_is_a_file(path: str) -> None:
    """No other path leads to a file, however it is spelled."""
    assert get(path) is None


def test_page_asks_nothing_of_elsewhere_and_reads_no_markup() -> None:
    """The files have no address of elsewhere, and no way to read text as markup."""
    for file in STATIC.iterdir():
        text = file.read_text("utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick="):
            assert word not in text, (file.name, word)
        assert "https://" not in text
        assert text.count("http://") == text.count("http://www.w3.org/2000/svg") + text.count("http://${edge}"), (
            file.name
        )
        assert len(text.splitlines()) < 400


def test_page_names_every_module() -> None:
    """The browser learns of all modules from the page, and not one after the other."""
    named = re.findall(r'(?:src|href)="(/[^"]+\.js)"', get("/").body.decode())
    modules = {f"/{it.name}" for it in STATIC.glob("*.js")} | {f"/client/{it.name}" for it in CLIENT.glob("*.js")}
    assert sorted(named) == sorted(modules)


async def ask(
    url: str, verb: str, data: Mapping[str, Any] | None = None, *, shown: str | None = None
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {shown}"} if shown else {}
    async with connect(url.replace("http", "ws"), additional_headers=headers) as page:
        await page.send(orjson.dumps({"type": "request", "event": f"dashboard.{verb}", "data": data or {}, "id": "q"}))
        while True:
            answer: dict[str, Any] = orjson.loads(await page.recv())
            if answer["correlation_id"] == "q":
                return answer


async def test_redis_that_is_away_is_told() -> None:
    """A page hears that Redis is away, and that a question cannot be answered."""
    async with Dashboard(EdgeSettings(port=0, redis_url=NOWHERE), []) as dashboard:
        seen = (await ask(dashboard.url, "now"))["data"]
        async with asyncio.timeout(10):
            while not seen["troubles"]:
                seen = (await ask(dashboard.url, "now"))["data"]
        assert seen["troubles"][0]["text"].startswith("Redis is away")
        refused = await ask(dashboard.url, "clients")
        assert refused["error_code"] == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("verb", "data", "code"),
    [
        ("fly", {}, "UNKNOWN_REQUEST"),
        ("clients", {"user": 7}, "INVALID_REQUEST"),
        ("clients", {"user": "x" * 2_000}, "INVALID_REQUEST"),
        ("event", {"channel": ["a"]}, "INVALID_REQUEST"),
        ("event", {"channel": "bus:epoch", "position": "1-1"}, None),
        ("flow", {"filter": 7}, None),
        ("channel", {"channel": "bus:epoch"}, "INVALID_REQUEST"),
        ("channel", {"channel": "a:\n"}, "UNAVAILABLE"),  # a name that somebody may have typed in Redis
        ("history", {"channel": "workflow:a", "after": "+"}, "INVALID_REQUEST"),
        ("history", {"channel": "bus:epoch"}, None),
        ("history", {"channel": "workflow:a", "untilMs": "soon"}, "UNAVAILABLE"),
        ("channels", {"offset": -1, "by": "luck"}, "UNAVAILABLE"),
    ],
)
async def test_nonsense_is_answered(verb: str, data: dict[str, Any], code: str | None) -> None:
    """Nonsense of a page is answered once, with a code."""
    async with Dashboard(EdgeSettings(port=0, redis_url=NOWHERE), []) as dashboard:
        assert (await ask(dashboard.url, verb, data))["error_code"] == code


@pytest.mark.parametrize(
    ("permission", "code", "may_act"),
    [
        ("dashboard:read", None, False),
        ("dashboard:admin", None, True),
        ("admin", None, True),
        ("workflow:read", "FORBIDDEN", None),
    ],
)
async def test_permissions(permission: str, code: str | None, may_act: bool | None) -> None:
    """A token's permission to look is one thing, to change something another."""
    settings = EdgeSettings(port=0, redis_url=NOWHERE, auth_secret=HIDDEN, auth_required=True)
    async with Dashboard(settings, []) as dashboard:
        answer = await ask(dashboard.url, "hello", shown=token(permissions=[permission]))
        assert answer["error_code"] == code
        assert answer["data"].get("mayAct") is may_act


@pytest.mark.parametrize(
    ("permission", "verb", "data", "code"),
    [
        ("dashboard:read", "kick", {"user": "bob"}, "FORBIDDEN"),
        ("dashboard:read", "publish", {}, "FORBIDDEN"),
        ("admin", "kick", {"user": "bob"}, "UNAVAILABLE"),
        ("admin", "drain", {"edge": ["x"]}, "INVALID_REQUEST"),
        ("admin", "publish", {"service": "akosha", "event": "no.such"}, "INVALID_REQUEST"),
        ("admin", "publish", {"service": "akosha", "event": "pattern.detected", "data": "x"}, "INVALID_REQUEST"),
        ("admin", "publish", {"service": "akosha", "event": "pattern.detected", "data": {"confidence": 7}}, None),
        ("admin", "models", {"service": "akosha", "event": "pattern.detected"}, None),
    ],
)
async def test_changes_want_a_token_of_an_admin(
    permission: str, verb: str, data: dict[str, Any], code: str | None
) -> None:
    """Who may look changes nothing; an admin's nonsense is answered, and faults of an event are told by field."""
    settings = EdgeSettings(port=0, redis_url=NOWHERE, auth_secret=HIDDEN, auth_required=True)
    async with Dashboard(settings, [load("akosha")]) as dashboard:
        answer = await ask(dashboard.url, verb, data, shown=token(permissions=[permission]))
        assert answer["error_code"] == code
        if verb == "publish" and code is None:
            assert {it["field"] for it in answer["data"]["faults"]} >= {"confidence", "pattern_id"}


async def test_without_tokens_a_page_reads_and_does_no_more() -> None:
    """Where no key is set up, a page changes nothing."""
    async with Dashboard(EdgeSettings(port=0, redis_url=NOWHERE), []) as dashboard:
        assert (await ask(dashboard.url, "hello"))["data"]["mayAct"] is False


def test_others_do_not_reach_a_page_without_tokens() -> None:
    """A page that others reach wants a key, or does not start."""
    with pytest.raises(SettingsError, match="edgebus token make"):
        Dashboard(EdgeSettings(host="0.0.0.0", port=0, insecure_behind_proxy=True), [])  # noqa: S104


async def test_nobody_looks_and_nothing_is_asked() -> None:
    """Edges and Redis are asked from the first question of a page on."""
    async with Dashboard(EdgeSettings(port=0, redis_url=NOWHERE), []) as dashboard:
        names = {it.get_name() for it in asyncio.all_tasks()}
        assert not names & {"dashboard: tap", "look at edges"}
        await ask(dashboard.url, "now")
        await asyncio.sleep(0)
        assert "dashboard: tap" in {it.get_name() for it in asyncio.all_tasks()}
