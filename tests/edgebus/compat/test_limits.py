"""The rows about the drop-in in docs/limits.md, measured."""

import logging
import math
import re
from typing import Any, Final

import pytest

from edgebus.compat import WebSocketProtocol
from tests.docs.pages import ROOT
from tests.edgebus.compat.conftest import OpenClient, StartServer
from tests.edgebus.compat.services import CrackerjackWebSocketServer
from tests.edgebus.compat.test_bad_input import Faulty, hangs, raises
from tests.edges.peers import Client, Closed, upgrade

BROADCASTS: Final[dict[str, tuple[str, str, Any]]] = {
    "to the room `bus:x`": ("bus:x", "code.changed", {}),
    "to a room without a name": ("", "code.changed", {}),
    "to a room of 205 characters": ("code:" + "x" * 200, "code.changed", {}),
    "with NaN": ("code", "code.changed", {"n": math.nan}),
    "with an object that is no JSON": ("code", "code.changed", {"n": object()}),
    "named as a notice of an edge": ("code", "room.gap", {}),
    "with a quotation mark in its name": ("code", 'quo"te', {}),
    "of 300,000 bytes": ("code", "code.changed", {"text": "x" * 300_000}),
}
PAGE: Final = (ROOT / "docs/limits.md").read_text("utf-8").partition("## The drop-in")[2]
ROWS: Final = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE))


@pytest.mark.parametrize("row", BROADCASTS)
async def test_broadcast_is_dropped_as_the_page_says(
    row: str, start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason in the log is that of the row."""
    server = await start_server(CrackerjackWebSocketServer)
    room, event, data = BROADCASTS[row]
    with caplog.at_level(logging.WARNING):
        await server.broadcast_to_room(room, WebSocketProtocol.create_event(event, data))
    (told,) = [it.getMessage() for it in caplog.records if "was not sent" in it.getMessage()]
    assert f"dropped: {told.partition('was not sent: ')[2]}" == ROWS[row]


async def outcome(client: Client) -> str:
    """Return the code of the next error, and the close behind, if any."""
    while (code := (await client.message())["error_code"]) is None:
        pass
    try:
        await client.marked()
    except (Closed, ConnectionError) as closed:
        return f"{code}; close {getattr(closed, 'code', '')}"
    return str(code)


@pytest.mark.parametrize("row", ["`on_connect` that raises", "`on_connect` that never returns"])
async def test_on_connect_costs_what_the_page_says(
    row: str, start_server: StartServer, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the client is that of the row."""
    monkeypatch.setenv("EDGEBUS_OPEN_TIMEOUT_S", "0.3")
    server = await start_server(Faulty)
    server.connects = raises if row.endswith("raises") else hangs
    assert (await outcome(await open_client(server))) == ROWS[row].removeprefix("after `open_timeout_s` ")


@pytest.mark.parametrize(
    ("row", "verb", "data"),
    [
        ("`on_message` that raises", "raise", {}),
        ("`on_message` that answers 10 MB", "large", {}),
        ("`on_message` that never returns", "hang", {}),
        ("`join_room` of `bus:x`", "subscribe", {"channel": "bus:x"}),
    ],
)
async def test_on_message_costs_what_the_page_says(
    row: str, verb: str, data: dict[str, Any], start_server: StartServer, open_client: OpenClient
) -> None:
    """The answer to the client is that of the row."""
    server = await start_server(Faulty)
    server.message_timeout_s = 0.2
    client = await open_client(server)
    client.request(verb, **data)
    assert (await outcome(client)) == ROWS[row].removeprefix("after `message_timeout_s` ")


@pytest.mark.parametrize("row", ["`process_request` that raises", "`process_request` that never returns"])
async def test_process_request_costs_what_the_page_says(
    row: str, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the client is that of the row."""
    monkeypatch.setenv("EDGEBUS_OPEN_TIMEOUT_S", "0.3")
    hook = raises if row.endswith("raises") else hangs
    server = await start_server(Faulty, process_request=lambda *_: hook())
    client = await Client.connect(server.port)
    client.write(upgrade())
    status, _, _ = await client.head()
    assert f"HTTP {status}" == ROWS[row].removeprefix("after `open_timeout_s` ")
    await client.close()
