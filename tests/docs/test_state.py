"""docs/state.md: its catalogue is one, and what it says of bad input is what is said."""

import re
from typing import Any

import pytest

from bus.errors import EventError
from producers.capturing import CapturingProducer
from tests.docs.pages import ROOT, blocks

PAGE = "docs/state.md"


@pytest.fixture
def board() -> dict[str, Any]:
    """Run the page's block, and lend its names."""
    names: dict[str, Any] = {"__name__": "boards"}
    [block] = [block for block in blocks(PAGE) if block.language == "python"]
    exec(compile(block.text, PAGE, "exec"), names)  # noqa: S102 (the page's own lines)
    return names


async def test_page_keeps_what_it_says(board: dict[str, Any]) -> None:
    """Properties stand beside each other, a removal takes them along, and a lock is one key."""
    producer = CapturingProducer()
    await producer.publish(board["CardAdded"](board_id="b1", card={"id": "c:1"}))
    await producer.publish(board["CardChanged"](board_id="b1", card_id="c:1", changes={"x": 1, "y": 2}))
    await producer.publish(board["BoardLocked"](board_id="b1"))
    lines = producer.states["board:b1"].lines
    assert sorted(lines) == ["card:c%3A1", "card:c%3A1:x", "card:c%3A1:y", "lock"]
    await producer.publish(board["CardRemoved"](board_id="b1", card_id="c:1"))
    assert sorted(lines) == ["card:c%3A1", "lock"]


async def test_page_has_the_sentences_of_refusals(board: dict[str, Any]) -> None:
    """Each error that the page quotes is the one that a caller gets."""
    quoted = re.findall(r"`EventError` at the caller: `([^`]+)`", (ROOT / PAGE).read_text("utf-8"))
    bad = (
        board["CardChanged"](board_id="b1", card_id="c", changes=dict.fromkeys(map(str, range(300)))),
        board["CardAdded"](board_id="b1", card={"id": "x" * 1_000_000}),
    )
    assert len(quoted) == len(bad)
    for event, sentence in zip(bad, quoted, strict=True):
        with pytest.raises(EventError) as refused:
            await CapturingProducer(limit_bytes=2**24).publish(event)
        assert str(refused.value) == sentence


async def test_event_that_no_state_could_hold_is_refused(board: dict[str, Any]) -> None:
    """200 properties in an event of 40 KB are 8 MB of state."""
    event = board["CardChanged"](board_id="b1", card_id="c", changes={str(n): "x" * 200 for n in range(200)})
    with pytest.raises(
        EventError, match=r"takes \d+ bytes of the state of board:b1; the limit of the state is 4194304"
    ):
        await CapturingProducer().publish(event)
