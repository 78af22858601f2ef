"""docs/wire.md, "Clients that publish": its messages and its line for curl, as they stand."""

import asyncio
import json
import shlex
from typing import Any

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from producers.services.excalidraw import SERVICE
from tests.docs.pages import ROOT
from tests.edges.peers import Client, eventually
from tests.edges.signing import SECRET, token

SECTION = (ROOT / "docs/wire.md").read_text("utf-8").split("\n## Clients that publish\n")[1].split("\n## ")[0]
FENCED = SECTION.split("```")[1::2]
MESSAGES = FENCED[0].removeprefix("json\n").strip().splitlines()
CURL, ANSWER = FENCED[1].strip().rpartition("\n")[::2]


async def answer(client: Client, asked: str) -> dict[str, Any]:
    while (message := await client.message())["correlation_id"] != asked:
        pass
    return message


async def test_page_is_right(broker: EmbeddedBroker) -> None:
    """The two forms are answered alike, and curl prints what the page says."""
    settings = EdgeSettings.load(None, {"port": "0", "redis_url": broker.url}, auth_secret=SECRET)
    shown = token("alice", ["diagram:write"])
    async with Edge(SERVICE, settings) as edge:
        await eventually(lambda: edge.not_ready() is None)
        client = await Client.open(edge.port)
        client.request("auth", "a", token=shown)
        assert (await answer(client, "a"))["type"] == "response"
        answers = []
        for message in MESSAGES:
            client.send(json.loads(message))
            answers.append((await answer(client, "p1"))["data"])
        assert answers[0] == answers[1] == json.loads(ANSWER)
        await client.close()
        line = CURL.removeprefix("$ ").replace("https://edge.example", f"http://127.0.0.1:{edge.port}")
        words = shlex.split(line.replace("\\\n", " ").replace("$TOKEN", shown))
        ran = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        printed, _ = await asyncio.wait_for(ran.communicate(), 20)
    assert json.loads(printed) == json.loads(ANSWER)
