"""docs/javascript.md: its recipes in a Chromium, its lines of the client in Node, against an edge."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.service import Service
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.excalidraw import SERVICE as EXCALIDRAW
from producers.services.mahavishnu import SERVICE, WorkflowStageCompleted, WorkflowStarted
from tests.clients.test_javascript import run
from tests.docs.pages import blocks
from tests.journeys.browser import Page
from tests.journeys.clients import eventually
from tests.journeys.conftest import processes  # noqa: F401 (a fixture)
from tests.journeys.processes import Processes, program
from tests.npm import PACKAGE, tools

RECIPES: Final = {"jsx": "react.js", "vue": "vue.js", "svelte": "svelte.js"}
_PAGE: Final = Path(__file__).parents[1] / "clients" / "javascript" / "recipes.mjs"
_LINES: Final = [it.text for it in blocks("docs/javascript.md") if it.language == "js"]
_AROUND: Final = """
import { connect } from "%(client)s";
const say = (...it) => {
  console.log(JSON.stringify(it));
  if (it.includes("%(wanted)s") && !it.includes(undefined)) process.exit(0);
};
const [url, take, tellMissing, fail] = ["%(url)s", say, (...it) => say("gap", ...it), (it) => say(String(it))];
globalThis.localStorage = { getItem: () => null, setItem: (...it) => say("kept", ...it) };
setTimeout(() => process.exit(1), 20_000);
%(lines)s
"""


def stage(name: str) -> WorkflowStageCompleted:
    return WorkflowStageCompleted(workflow_id="42", stage_name=name, result={})


def bundled(folder: Path) -> bytes:
    """Return a page that has all recipes, each with its framework."""
    found = {it.language: it.text for it in blocks("docs/javascript.md")}
    for language, name in RECIPES.items():
        assert found[language].count("\n") <= 13
        (folder / name).write_text(found[language])
    (folder / "recipes.mjs").write_text(_PAGE.read_text())
    (folder / "node_modules").symlink_to(PACKAGE / "node_modules")
    alias = f"--alias:@edgebus/client={PACKAGE / 'src' / 'index.js'}"
    vue = "--define:__VUE_OPTIONS_API__=false", "--define:__VUE_PROD_DEVTOOLS__=false"
    script = run(tools() / "esbuild", folder / "recipes.mjs", "--bundle", "--format=esm", alias, *vue, cwd=folder)
    return f'<!doctype html><meta charset="utf-8"><body><script type="module">{script}</script>'.encode()


async def test_recipes(
    broker: EmbeddedBroker,
    producer: Producer,
    processes: Processes,  # noqa: F811
    tmp_path: Path,
) -> None:
    """React in its strict mode, Vue and Svelte show the past and what comes, and leave the room at their end."""
    page = Page(html=bundled(tmp_path))
    await producer.publish(stage("a"))
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        with page.served():
            page.open(processes, edge.port, tmp_path / "chromium")

            async def shows(text: str) -> None:
                wanted = {"shown": dict.fromkeys(("react", "vue", "svelte"), text)}
                await eventually(lambda: wanted in page.saw or any("fault" in it for it in page.saw))
                assert wanted in page.saw, page.saw

            await shows("a")
            await producer.publish(stage("b"))
            await shows("a b")
            page.orders.put({"end": True})
            await eventually(lambda: len([it for it in page.saw if "left" in it]) == 3)
    assert not [it for it in page.saw if "fault" in it]


@pytest.mark.parametrize(
    ("number", "service", "wanted"),
    [(0, SERVICE, "kept"), (1, SERVICE, "workflow.started"), (2, SERVICE, "status"), (3, EXCALIDRAW, "published")],
    ids=["loop", "callbacks", "request", "publish"],
)
async def test_lines(
    broker: EmbeddedBroker, producer: Producer, tmp_path: Path, number: int, service: Service, wanted: str
) -> None:
    """The lines of the client do what the page says, in Node."""
    await producer.publish(WorkflowStarted(workflow_id="42", adapter="local"))
    async with Edge(service, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        client = PACKAGE / "src" / "index.js"
        words = {"client": client, "url": f"ws://127.0.0.1:{edge.port}", "wanted": wanted, "lines": _LINES[number]}
        (tmp_path / "lines.mjs").write_text(_AROUND % words)
        node = (program("node", "nodejs"), "--no-warnings", "--experimental-websocket")
        await asyncio.to_thread(run, *node, tmp_path / "lines.mjs")
