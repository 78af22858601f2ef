"""``edgebus`` with one protection of the product taken out, for edges in processes of their own.

The first argument says which; the others are those of ``edgebus``.
"""

import sys

from bus.channel import Channel
from bus.replay import Replay, Start
from edgebus.cli import main
from edges import Edge
from edges.hub import Hub


async def no_replay(self: Hub, channel: Channel, start: Start) -> Replay:
    """Say that nothing was missed."""
    return Replay((), None, self._standing(channel))


async def no_drain(self: Edge) -> None:
    """Leave as if nobody were there."""
    del self


if __name__ == "__main__":
    match sys.argv.pop(1):
        case "replay":
            Hub.replay = no_replay  # type: ignore[method-assign]
        case "drain":
            Edge.drain = no_drain  # type: ignore[method-assign]
        case other:
            sys.exit(f"no protection is called {other}")
    main()
