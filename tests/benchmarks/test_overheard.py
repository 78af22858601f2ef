from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from benchmarks.peer import EVENT, resp
from benchmarks.peers.overheard import overheard


def client_of(url: str) -> Any:
    return Redis.from_url(url)


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


@pytest.mark.parametrize("around", [b"", b'"\\\r\n\t\a\b', bytes(range(256))])
def test_a_publish_is_overheard_byte_by_byte(broker_url: str, around: bytes) -> None:
    """What is repeated for a peer is what its publisher wrote, whatever bytes are in it."""
    with client_of(broker_url) as redis, overheard(port_of(broker_url)) as heard:
        redis.publish("another", b"without a mark")
        redis.publish("room", around + EVENT + around)
        assert heard.event() == resp("PUBLISH", "room", around + EVENT + around)


def test_what_a_script_does_is_not_taken_for_its_call(broker_url: str) -> None:
    """A script's own PUBLISH holds the mark too; what a publisher says is the script's call."""
    text = "return redis.call('PUBLISH', KEYS[1], ARGV[1])"
    with client_of(broker_url) as redis, overheard(port_of(broker_url)) as heard:
        redis.eval(text, 1, "room", EVENT)
        assert heard.event() == resp("EVAL", text, "1", "room", EVENT)
        redis.publish("after", EVENT)
        assert heard.event() == resp("PUBLISH", "after", EVENT)
