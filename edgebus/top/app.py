"""``edgebus top`` as a program: frames come once a second, keys open screens, and no key waits for Redis."""

import time
from typing import Any, ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from edgebus.top.details import ClientScreen, EdgeScreen, RoomScreen
from edgebus.top.frames import Frame
from edgebus.top.pages import ClientsScreen, RoomsScreen
from edgebus.top.screens import FrameScreen, HelpScreen, Open, Overview
from edgebus.top.source import Source
from edgebus.top.troubles import troubles
from edgebus.top.widgets import WIDE, Head

__all__ = ["Top"]

_CSS: Final = """
Head { height: auto; max-height: 7; padding: 0 1; }
#body { height: 1fr; }
#filter { display: none; height: 1; border: none; }
#filter.asked { display: block; }
#facts { height: auto; padding: 0 1; margin-bottom: 1; }
SheetTable { height: 1fr; padding: 0 1; }
SheetTable .caption { height: 1; text-style: bold; }
DataTable { height: 1fr; background: $background; }
DataTable > .datatable--header { text-style: underline; background: $background; }
SheetTable#edges { height: auto; max-height: 45%; margin-bottom: 1; }
SheetTable#edges DataTable { height: auto; max-height: 100%; }
#below { height: 1fr; layout: vertical; }
.-wide #below { layout: horizontal; }
"""


class Top(App[None]):
    """The dashboard.

    Args:
        source: of frames, and of single edges, rooms and clients.
        address: of Redis, for the head; without a password.

    """

    CSS = _CSS
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012 (Textual's own declaration)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "rooms", "Rooms"),
        Binding("c", "clients", "Clients"),
        Binding("p", "pause", "Pause"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, source: Source, address: str) -> None:
        super().__init__()
        self._source, self._address = source, address
        self._frame = Frame(has_begun=False)
        self._is_paused = False

    def on_mount(self) -> None:
        """Show all at once, and begin to follow."""
        self._show(Overview())
        self.run_worker(self._follow(), name="follow frames", exclusive=True)

    async def _follow(self) -> None:
        async for frame in self._source.frames():
            # The head goes on in a pause: an operator who compares rows must still learn that Redis went.
            if not self._is_paused:
                self._frame = frame
            self._draw(self.screen, frame)

    def _draw(self, screen: Screen[Any], frame: Frame) -> None:
        """Show a frame; of a pause, the head alone goes on."""
        if not screen.is_mounted:  # a frame may come while a new screen is still being put together
            return
        for head in screen.query(Head):
            head.put(frame, troubles(frame, time.time() * 1000), self._address, is_paused=self._is_paused)
        if isinstance(screen, FrameScreen) and not self._is_paused:
            screen.put(frame)

    def on_open(self, wish: Open) -> None:
        """Open the screen wished for."""
        match wish.kind:
            case "edge":
                self._show(EdgeScreen(wish.key))
            case "room":
                self._show(RoomScreen(self._source, wish.key))
            case "client":
                self._show(ClientScreen(self._source, wish.key))
            case "rooms":
                self._show(RoomsScreen(self._source))
            case "clients":
                self._show(ClientsScreen(self._source, wish.key))

    def _show(self, screen: FrameScreen) -> None:
        self.push_screen(screen)
        self.call_after_refresh(self._draw_now, screen)

    def _draw_now(self, screen: FrameScreen) -> None:
        if screen is self.screen and screen.is_mounted:
            self._draw(screen, self._frame)
            screen.put(self._frame)

    def action_rooms(self) -> None:
        """Open the list of all rooms."""
        self.on_open(Open("rooms"))

    def action_clients(self) -> None:
        """Open the list of all clients."""
        self.on_open(Open("clients"))

    def action_help(self) -> None:
        """Open the page of the keys."""
        if not isinstance(self.screen, HelpScreen):
            self._show(HelpScreen())

    def action_pause(self) -> None:
        """Let the tables stand still, or go on."""
        self._is_paused = not self._is_paused
        self._draw(self.screen, self._frame)
