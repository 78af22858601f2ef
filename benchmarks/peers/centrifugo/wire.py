"""How clients speak to Centrifugo, and to the library below it: commands and answers of JSON."""

from typing import Final

from benchmarks.peer import POSITION, ROOM, Step, Wire, upgrade

__all__ = ["CHANNEL", "wire"]

CHANNEL: Final = b"room-" + ROOM
"""The channel of a room: a colon would name one of Centrifugo's namespaces."""
_NUMBER: Final = b'"id":1' + ROOM
"""The number of a subscription: an answer names its command by its number, and not its channel."""


def wire(publish: bytes, *, has_history: bool = False) -> Wire:
    """Return the wire; ``publish`` is the command that a publisher gave Redis."""
    resume = b'{%b,"subscribe":{"channel":"%b","recover":true,%b}}' % (_NUMBER, CHANNEL, POSITION)
    return Wire(
        publish=publish,
        request=upgrade("/connection/websocket"),
        steps=(Step(b'{"id":1,"connect":{}}', b'"connect":{'),),
        subscribe=b'{%b,"subscribe":{"channel":"%b"}}' % (_NUMBER, CHANNEL),
        subscribed=b'%b,"subscribe":{' % _NUMBER,
        ping=b"{}",
        pong=b"{}",
        resume=resume if has_history else b"",
    )
