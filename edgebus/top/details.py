"""An edge, a room, a client: asked for again and again while the screen is seen."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from bus.admin.values import BusyRoom
from bus.errors import BusError
from edgebus.terminal import escape
from edgebus.top.facts import Facts, client_facts, edge_facts, room_facts
from edgebus.top.frames import Frame
from edgebus.top.screens import FrameScreen, Open, named
from edgebus.top.sheets import BUSY, ON_EDGES, SLOW, Order
from edgebus.top.source import Source
from edgebus.top.widgets import SheetTable

__all__ = ["ClientScreen", "EdgeScreen", "RoomScreen"]

_POLL_S: Final = 2.0


def _text(facts: Facts) -> Text:
    width = max((len(name) for name, _ in facts), default=0)
    return Text("\n".join(f"{name:<{width}}  {escape(text)}" for name, text in facts))


class EdgeScreen(FrameScreen):
    """An edge: the whole entry, the busiest rooms and the slowest clients."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "clients", "Its clients")]

    def __init__(self, edge: str) -> None:
        super().__init__()
        self._edge = edge

    def body(self) -> Iterable[Widget]:
        """Return the facts and the two tables."""
        yield Static(id="facts")
        yield SheetTable(BUSY, order=Order(1), id="rooms", empty="no event in the last second")
        yield SheetTable(SLOW, order=Order(2), id="slow", empty="none")

    def put(self, frame: Frame) -> None:
        """Show the edge's part of a frame."""
        edge = next((it for it in frame.edges if it.entry.id == self._edge), None)
        if edge is None:
            self.query_one("#facts", Static).update(Text(f"{escape(self._edge)} is not there any more"))
            return
        self.query_one("#facts", Static).update(_text(edge_facts(edge)))
        rooms: list[tuple[str, BusyRoom]] = [(edge.entry.service, it) for it in edge.look.rooms] if edge.look else []
        self.query_one("#rooms", SheetTable).put(rooms)
        self.query_one("#slow", SheetTable).put(edge.look.clients if edge.look else [])

    def opens(self, table: SheetTable[Any]) -> Open | None:
        """Return the wish for the room or the client."""
        chosen = table.chosen
        if chosen is None:
            return None
        return Open("room", named(chosen)) if table.id == "rooms" else Open("client", chosen.id)

    def action_clients(self) -> None:
        """Open the list of the edge's clients."""
        self.post_message(Open("clients", f"edge:{self._edge}"))


class Asking(FrameScreen):
    """A screen with facts, asked for every two seconds while the screen is seen; an error stands in place of facts."""

    def __init__(self, source: Source, name: str) -> None:
        super().__init__()
        self._source, self._of = source, name

    def on_mount(self) -> None:
        """Begin to ask."""
        self.query_one("#facts", Static).update(Text(f"asking for {escape(self._of)} …"))
        self.run_worker(self._poll(), name=f"ask for {self._of}", exclusive=True)

    async def _poll(self) -> None:
        while True:
            if self.is_current:  # a screen under another asks for no answers that nobody sees
                try:
                    await self.ask()
                except BusError as error:
                    self.query_one("#facts", Static).update(Text(escape(str(error)), "bold red"))
            await asyncio.sleep(_POLL_S)

    @abstractmethod
    async def ask(self) -> None:
        """Ask once, and show the answer."""


class RoomScreen(Asking):
    """A room: members by edge, position, log, last event."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "clients", "Its members")]

    def __init__(self, source: Source, name: str) -> None:
        super().__init__(source, name)
        self._channel = name

    def body(self) -> Iterable[Widget]:
        """Return the facts, and the room in each edge."""
        yield Static(id="facts")
        yield SheetTable(ON_EDGES, id="on-edges", empty="nobody is in the room")

    async def ask(self) -> None:
        """Ask for the room."""
        room = await self._source.room(self._of)
        self._channel = room.channel
        self.query_one("#facts", Static).update(_text(room_facts(room)))
        self.query_one("#on-edges", SheetTable).put(room.edges)

    def opens(self, table: SheetTable[Any]) -> Open | None:
        """Return the wish for the edge."""
        chosen = table.chosen
        return None if chosen is None else Open("edge", chosen.edge)

    def action_clients(self) -> None:
        """Open the list of the room's members."""
        self.post_message(Open("clients", f"room:{self._channel}"))


class ClientScreen(Asking):
    """A client, and the line to type to send the client away."""

    def body(self) -> Iterable[Widget]:
        """Return the facts."""
        yield VerticalScroll(Static(id="facts"))

    async def ask(self) -> None:
        """Ask for the client."""
        client = await self._source.client(self._of)
        facts = (*client_facts(client), ("to send away", f"edgebus kick {client.id}"))
        self.query_one("#facts", Static).update(_text(facts))
