"""The welcome, whose text is prepared."""

from datetime import datetime

import orjson

from bus.envelope import envelope
from bus.words import NoticeName
from edges.protocol.envelope import ENVELOPE
from edges.protocol.messages import Welcome


def test_welcome_is_the_envelope_of_its_values() -> None:
    """The prepared text differs from a message written whole in nothing, whatever stands in the values."""
    sentence, ids = 'Grüße "\\u0000" \x00id\x00 \x00time\x00', set[str]()
    for welcome in (
        Welcome("c-1", "mahavishnu", sentence, 100),
        Welcome("c-2", "mahavishnu", sentence, 100, authenticated=True, secure=True, publish_rate_limit=7),
    ):
        value = orjson.loads(ENVELOPE.write(welcome))
        ids.add(value.pop("id"))
        datetime.fromisoformat(value.pop("timestamp"))
        whole = {**envelope("event", event="session.created"), "position": None, "previous": None}
        assert {**whole, **value} == {**value, "id": whole["id"], "timestamp": whole["timestamp"]}
        assert value["data"] == NoticeName.SESSION_CREATED.data(
            *(welcome[name] for name in (0, 1, 2)),
            welcome.authenticated,
            welcome.secure,
            100,
            welcome.publish_rate_limit,
        )
    assert len(ids) == 2
