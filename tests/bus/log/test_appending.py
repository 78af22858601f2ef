import dataclasses
from typing import Any

import pytest

from bus.channel import HISTORY, LATEST, LIVE, Channel, Retention
from bus.errors import PublishError, PublishUncertain
from bus.log import appending
from bus.log.appending import Appended, Entry, Packer, command, outcome
from bus.log.once import ONCE_MS
from bus.redis.command_link import packed


def entry(retention: Retention = HISTORY) -> Entry:
    return Entry(Channel("workflow:x", "workflow:x", retention), "id", "workflow.started", b"{}")


def test_answer_is_position_and_receivers() -> None:
    """The script answers where the entry stands and who got it; `PUBLISH`, on a live channel, only the latter."""
    assert outcome(entry(), b"7-1 3", 2) == Appended("7-1", 3, 2)
    assert outcome(entry(LIVE), 3, None) == Appended(None, 3)


@pytest.mark.parametrize("word", [b"uncertain", b"newer"])
def test_answer_may_be_that_it_is_unsure(word: bytes) -> None:
    """A repeated attempt that was not carried out is neither a place nor a failure."""
    assert isinstance(outcome(entry(), word + b" 0", None), PublishUncertain)


@pytest.mark.parametrize("retention", [HISTORY, LIVE])
@pytest.mark.parametrize(
    "reply", [None, b"OK", "7-1 1", [], b"7-1", b"7-x 1", b"\xff 1", b"7-1 x", b"7-1 \xb2", [b"7-1", 1]]
)
def test_answer_of_no_known_form_is_an_error(reply: Any, retention: Retention) -> None:
    """What answers in another form than Redis does is told as such, by an error of the bus that names the channel."""
    found = outcome(entry(retention), reply, None)
    assert type(found) is PublishError
    assert "workflow:x" in str(found)


SALT = 7


@pytest.mark.parametrize("by_function", [False, True])
@pytest.mark.parametrize("since_ms", [None, 5])
@pytest.mark.parametrize("retention", [HISTORY, LIVE, LATEST, Retention(max_events=5)])
@pytest.mark.parametrize("event_id", ["an-id", "é"])
def test_packed_publish_is_the_command(
    by_function: bool, since_ms: int | None, retention: Retention, event_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes put together from packed parts are those of the words, also the second time, from what was kept."""
    monkeypatch.setattr(appending, "salt", lambda: SALT)
    packer, one = Packer(), dataclasses.replace(entry(retention), id=event_id, since_ms=since_ms)
    expected = packed(command(one, by_function=by_function))
    assert [b"".join(packer.pack(one, by_function=by_function)) for _ in range(2)] == [expected] * 2


def test_bounds_are_said_where_they_are_not_the_usual_ones() -> None:
    """A first publish names what a log holds, and for how long, unless they are those that the script knows."""
    usual = f"ARGV[5] or '{HISTORY.max_events}', ARGV[6] or '{HISTORY.life_ms}'"
    assert usual in appending.SCRIPT
    assert command(entry())[2:7] == (1, "bus:log:{workflow:x}", "id", "workflow.started", b"{}")
    assert len(command(entry())) == 8
    for retention in (Retention(max_events=999), Retention(expires_s=86_399), LATEST):
        assert command(entry(retention))[8:] == (retention.max_events, retention.life_ms)
    repeated = dataclasses.replace(entry(), since_ms=20_000, after="other")
    assert command(repeated)[8:] == (1000, 86_401_000, 20_000, 10_000, "other")
    assert command(dataclasses.replace(entry(), once="name"))[9:] == (1000, 86_401_000, ONCE_MS)


def test_life_is_at_least_what_is_promised() -> None:
    """A life of hours is begun anew once a second, and so has a second more; a shorter one by each event."""
    assert [Retention(expires_s=expires_s).life_ms for expires_s in (1, 9_999, 10_000, 86_400)] == [
        1_000,
        9_999_000,
        10_001_000,
        86_401_000,
    ]
