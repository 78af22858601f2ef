"""The channel that a command names: its text in the data, and the service's channel of that name."""

from bus.channel import Channel
from bus.errors import ChannelError
from edges.protocol.messages import Code, Refusal, Said
from edges.session.client import Client
from edges.session.command import Command

__all__ = ["channel_of", "named"]


def named(said: Said) -> str:
    """Return the name under ``channel``, or ``room`` as older clients have it.

    Raises:
        Refused: there is no text.

    """
    name = said.data.get("channel", said.data.get("room"))
    if not isinstance(name, str):
        raise said.refused("channel: expected a text such as 'global'")
    return name


def channel_of(client: Client, name: str, command: Command) -> Channel | Refusal:
    """Return the channel, or the answer to a name that no channel of the service has."""
    try:
        return client.context.service.channel(name)
    except ChannelError as error:
        return Refusal(Code.INVALID_CHANNEL, f"channel: {error}", command.verb, command.reply_to)
