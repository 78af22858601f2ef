"""The page in a real browser: what it says in each state, and that an event is text whatever it holds."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.event import Event
from edgebus.dashboard.dashboard import Dashboard
from edges import EdgeSettings
from producers import Producer
from producers.services import NAMES, load
from producers.services.mahavishnu import WorkflowFailed, WorkflowStarted
from tests.edges.signing import HIDDEN, token
from tests.journeys.chromium import Page, page
from tests.journeys.processes import DEADLINE_S, Processes, Running, wait_ready
from tests.ports import free_port

EVIL = '<img src=x onerror="document.title=1"><script>document.title=2</script>\u202egnp.exe\u0007'
"""A script, a turn of direction, and a bell."""


COUNT = "document.querySelectorAll({!r}).length"


async def check_axe(page: Page, *schemes: str) -> None:
    """Look for violations of WCAG."""
    for scheme in schemes:
        await page("scheme", scheme=scheme)
        assert await page("axe") == []


async def publish(page: Page, producer: Producer, event: Event) -> None:
    """Publish until the page shows one row more: it may have begun to listen a moment ago."""
    before = await page("evaluate", expression=COUNT.format(".row"))
    async with asyncio.timeout(DEADLINE_S):
        while await page("evaluate", expression=COUNT.format(".row")) <= before:
            await producer.publish(event)


async def check_text(page: Page) -> None:
    """Look at an event whose data is a script, in its row and whole."""
    await page("has", selector=".row", text="workflow.failed")
    await page("click", selector=".row")
    await page("has", selector="dialog .leaf", text="<script>document.title=2</script>⟨U+202E⟩gnp.exe")
    assert await page("evaluate", expression=COUNT.format("main img, main script, dialog img, dialog script")) == 0
    assert await page("evaluate", expression="document.title") == "Flow · edgebus"
    await check_axe(page, "dark", "light")
    await page("press", key="Escape")


async def check_channels(page: Page) -> None:
    """Find a channel, and what a request answers about it, with its past."""
    await page("click", selector="nav a[data-view=channels]")
    await page("fill", selector="input[type=search]", text="wf_")
    await page("click", selector="a.channel-row")
    await page("has", selector=".card", text="get_workflow_status")
    await page("has", selector=".card .badge", text="failed")
    await page("has", selector=".row.past", text="workflow.failed")
    await check_axe(page, "light")
    await page("click", selector="nav a[data-view=flow]")


async def check_form(page: Page) -> None:
    """Publish by the form: faults stand at their fields, those that the page finds and those of the model."""
    await page("click", selector="#publish-link")
    await page("has", selector=".field", text="workflow_id")
    await page("click", selector="button.main")
    await page("has", selector=".field:has(#field-workflow_id) .fault", text="is wanted")
    await page("select", selector=".bar select", value="akosha")
    for name, text in {"pattern_id": "p", "pattern_type": "rising", "description": "d", "confidence": "7"}.items():
        await page("fill", selector=f"#field-{name}", text=text)
    await page("click", selector="button.main")
    await page("has", selector=".field:has(#field-confidence) .fault", text="less than or equal to 1")
    await check_axe(page, "dark")
    await page("fill", selector="#field-confidence", text="0.7")
    await page("click", selector="button.main")
    await page("has", selector="main [role=status]", text="Published pattern.detected")


async def lose_edge(page: Page, edge: Running, redis_url: str) -> None:
    """Kill an edge, and take its entry away, as Redis does by itself ten seconds later."""
    edge.kill()
    with Redis.from_url(redis_url) as redis:
        for key in redis.scan_iter("bus:edge:mahavishnu*"):
            redis.delete(key)
    await page.status("is gone since")


async def test_page_tells_what_goes_on(processes: Processes, tmp_path: Path) -> None:
    """The page has nothing, an event, an edge less, no Redis, Redis again, and at last no server."""
    port, started = free_port(), WorkflowStarted(workflow_id="wf_2")
    with ExitStack() as life:
        broker = life.enter_context(EmbeddedBroker(port, tmp_path / "data"))
        edge, edge_port = processes.edges("mahavishnu", broker.url)[0]
        settings = EdgeSettings(
            port=free_port(), redis_url=broker.url, close_timeout_s=0.2, auth_secret=HIDDEN, auth_required=True
        )
        async with page() as seen, Producer(broker.url) as producer:
            async with Dashboard(settings, [load(name) for name in NAMES]) as dashboard:
                await asyncio.to_thread(wait_ready, edge, edge_port)
                await seen("goto", url=f"{dashboard.url}/#token={token(permissions=['dashboard:admin'])}")
                await seen.status("All is well: 1 edge(s) ready")
                await seen("has", selector=".empty", text="edgebus publish workflow.started")
                await check_axe(seen, "light", "dark")
                await seen("click", selector="nav a[data-view=flow]")
                await publish(seen, producer, WorkflowFailed(workflow_id="wf_1", error=EVIL))
                await check_text(seen)
                await check_channels(seen)
                await check_form(seen)
                await lose_edge(seen, edge, broker.url)
                await asyncio.to_thread(life.close)
                await seen.status("Redis is away since")
                with EmbeddedBroker(port, tmp_path / "data"):
                    await seen.status("is gone since")
                    await seen("click", selector="nav a[data-view=flow]")
                    await publish(seen, producer, started)
                    assert await seen("faults") == []
            await seen.status("The dashboard is away; the next attempt is in")
