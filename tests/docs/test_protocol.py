"""docs/protocol.md: its frames are those of the conversations, its numbers are theirs, and its client holds them."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from bus.position import Reason
from bus.words import CloseCode
from tests.clients.test_conversations import CONVERSATIONS, hold
from tests.docs.pages import ROOT
from tests.journeys.processes import program

PAGE: Final = (ROOT / "docs" / "protocol.md").read_text("utf-8")
BLOCKS: Final = {kind: re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("json", "js")}
HELD: Final = (
    "live-events",
    "coming-back",
    "coming-back-to-nothing-new",
    "before-the-first-event",
    "a-repeated-event",
    "a-trimmed-log",
    "a-gap-at-the-end",
    "a-gap-of-the-room",
    "a-hole-without-a-notice",
    "restarting",
    "come-back-after-3008",
    "stay-away-after-1008",
    "a-forged-answer",
    "a-line-typed-by-hand",
)
_DRIVER: Final = """
Math.random = () => 0;
const say = (it) => process.stdout.write(JSON.stringify(it) + "\\n");
const { follow } = await import("./follow.mjs");
const take = (it) => say(it.type === "end" ? { error: "Dismissed", code: it.code } : { yield: it });
follow(process.argv[2], "workflow:42", take);
"""


def test_frames() -> None:
    """Each frame on the page is one that a conversation has."""
    steps = [step for it in CONVERSATIONS for step in it["talk"]]
    said = [step["say"] for step in steps if "say" in step]
    sent = [step["send"] for step in steps if "send" in step]
    frames = [json.loads(block) for block in BLOCKS["json"]]
    assert len(frames) == 3
    for frame in frames:
        is_sent = frame["type"] == "request"
        assert ({"event": frame["event"], "data": frame["data"]} in sent) if is_sent else (frame in said), frame


def test_numbers() -> None:
    """The page counts the conversations, and names every reason and every code that says to stay away."""
    assert f"has {len(CONVERSATIONS)} conversations" in PAGE
    assert all(f"| `{reason}` |" in PAGE for reason in Reason)
    away = [int(code) for code in CloseCode if not code.come_back]
    assert f"[{', '.join(map(str, away))}].includes(code)" in PAGE


class PageClient:
    """The page's own client, which tells its caller of events and gaps alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self, url: str, conversation: Mapping[str, Any]) -> None:
        argv = [program("node", "nodejs"), "--no-warnings", "--experimental-websocket", "drive.mjs", url]
        self._process = await asyncio.create_subprocess_exec(
            *argv, cwd=self._folder, stdout=asyncio.subprocess.PIPE, stderr=None
        )

    async def heard(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the page's client ended"
        return dict(json.loads(line))

    async def end(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 (else the loop's end finds it open)


def plain(conversation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a conversation without what the page's client says to nobody."""

    def is_told(step: Mapping[str, Any]) -> bool:
        return step.get("yield", {}).get("type") not in ("interrupted", "recovered") and "position" not in step

    def lean(step: Mapping[str, Any]) -> dict[str, Any]:
        yielded = {key: it for key, it in step.get("yield", {}).items() if key != "id"}
        return {**step, "yield": yielded} if "yield" in step else dict(step)

    return {**conversation, "talk": [lean(step) for step in conversation["talk"] if is_told(step)]}


@pytest.mark.parametrize("name", HELD)
async def test_client(name: str, tmp_path: Path) -> None:
    """The client of thirty lines holds the conversations that the page has taught."""
    (tmp_path / "follow.mjs").write_text(BLOCKS["js"][0], "utf-8")
    (tmp_path / "drive.mjs").write_text(_DRIVER, "utf-8")
    await hold(PageClient(tmp_path), plain(next(it for it in CONVERSATIONS if it["name"] == name)))
