"""Channels of services whose code is not at hand: by Redis alone, or by the edge at ``--url``."""

from typing import Final

import orjson
import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.errors import ChannelError
from bus.event import Event
from bus.service import Service
from edgebus.catalogue import all_services, channel_at_edge, channel_by_name
from edgebus.commands.events import show_history
from edgebus.commands.listening import listen
from edgebus.commands.replaying import replay
from edges import Edge, EdgeSettings
from producers import Producer
from tests.edges.peers import eventually

STATION: Final = Family("station:{station_id}")


class Measured(Event, event="station.measured", channels=(STATION,)):
    station_id: str
    celsius: float


SERVICE: Final = Service("weather", 0, "w", (STATION,), (Measured,))
MEASURED: Final = Measured(station_id="north pole", celsius=-3.5)


async def test_past_of_a_stranger_is_shown_from_redis_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """``history`` and ``replay`` read the log by the channel's name; a name without a log is refused with the forms."""
    found, stranger = channel_by_name("station:north pole", all_services())
    nobody, unknown = channel_by_name("station:south", all_services())
    assert stranger is not None
    assert unknown is not None
    async with EmbeddedBroker(port=0) as broker, Producer(broker.url) as producer:
        await producer.publish(MEASURED)
        await show_history(broker.url, found, count=9, as_json=True, stranger=stranger)
        await replay(broker.url, found, since="-1h", until=None, speed=None, stranger=stranger)
        shown = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
        with pytest.raises(ChannelError, match=r"no service at hand.*forms are"):
            await show_history(broker.url, nobody, count=9, as_json=True, stranger=unknown)
        with pytest.raises(ChannelError, match=r"no service at hand.*forms are"):
            await replay(broker.url, nobody, since="-1h", until=None, speed=None, stranger=unknown)
    assert [line["data"]["celsius"] for line in shown] == [-3.5, -3.5]


async def test_edge_of_a_stranger_is_listened_to_by_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    """The edge knows its channels; one that it does not have is refused with its forms."""
    async with (
        EmbeddedBroker(port=0) as broker,
        Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge,
        Producer(broker.url) as producer,
    ):
        await eventually(lambda: edge.not_ready() is None)
        await producer.publish(MEASURED)
        url = f"ws://127.0.0.1:{edge.port}"
        for name in ("station:north pole", "nothing:x"):
            wanted = [channel_at_edge(name, all_services())]
            listening = listen(wanted, url=url, since=None, last=1, count=1, timeout_s=20, as_json=False)
            if name == "nothing:x":
                with pytest.raises(ChannelError, match=r"not a channel of weather; the forms are: station:\{"):
                    await listening
            else:
                await listening
    assert '"celsius":-3.5' in capsys.readouterr().out
