"""The edge's own command, in no table: catching up with rooms after a long repair (decisions/0045)."""

import asyncio
from collections.abc import AsyncGenerator
from typing import ClassVar, Final, Self

from bus.errors import BusError
from bus.log.replay import Since
from bus.values import frozen
from edges.protocol.messages import Outgoing, Said, gap
from edges.session.client import Client
from edges.session.command import Command

__all__ = ["Recover"]

_RETRY_S: Final = 1.0


@frozen
class Recover(Command):
    """Catch up, in turn among the commands of the client."""

    verb: ClassVar = "recover"
    reply_to: ClassVar = None
    is_long: ClassVar = True
    is_small: ClassVar = True

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Take no data; no message is read as a recovery."""
        return cls()

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        """Catch up room by room; a failure at Redis is tried again, unless the client has left."""
        while client.missed and not client.rooms.has_ended:
            channel, position = client.missed[next(iter(client.missed))]
            # The client has part of the repair still to read; a replay behind that would only wait.
            await client.transport.drained()
            try:
                if channel.name in client.rooms.rooms:
                    async with client.rooms.resume(channel, Since(position, has_stayed=True)) as replay:
                        if replay.reason is not None:  # some events are lost for good
                            end = replay.lines[0].position if replay.lines else replay.position
                            client.context.hub.told[replay.reason] += 1
                            told = (channel, position, end, replay.reason, client.transport.name)
                            client.context.hub.repairs.told_one(*told)
                            yield gap(channel.name, position, end, replay.reason)
                        del replay  # while the client reads, the lines are held by the turn alone (decisions/0034)
            except BusError:
                await asyncio.sleep(_RETRY_S)
                continue
            except Exception:  # a client left out of the room would miss events in silence: better to come back
                client.missed.clear()
                client.transport.fail()
                raise
            del client.missed[channel.redis]
