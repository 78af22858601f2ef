"""The service of a channel, by the channel's name in Redis: from the catalogues at hand, then by the word of edges."""

import re
from collections.abc import Sequence
from typing import Final

from bus.service import Service

__all__ = ["HEADS", "Names", "is_channel"]

HEADS: Final = 500
"""The most unknown forms of channels in memory."""
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}(:.{1,200})?", re.DOTALL)


class Names:
    """Channels to services.

    Attributes:
        unknown: a channel of each form without a service, for an operator to ask edges about.

    """

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = {service.name: service for service in services}
        families = [(service.name, family) for service in services for family in service.families]
        self._heads = {(it.head, it.field is not None): name for name, it in families if it.shared_by is None}
        self._shared = {it.head for _, it in families if it.shared_by is not None} | {"global"}
        self._learned: dict[tuple[str, bool], str] = {}
        self.unknown: dict[tuple[str, bool], str] = {}

    def service(self, channel: str) -> str:
        """Return the name of the channel's service; empty where nobody has said yet."""
        head, colon, rest = channel.partition(":")
        if head in self._shared:  # one name for all services, so in Redis the id is the service
            return rest
        form = head, bool(colon)
        # Learned by form, and not by name: ten thousand stations are one question to one edge.
        known = self._heads.get(form) or self._learned.get(form, "")
        if not known and len(self.unknown) < HEADS:
            self.unknown.setdefault(form, channel)
        return known

    def learn(self, channel: str, service: str) -> None:
        """Take note of the service of all channels of a form; an empty name: no edge serves the form."""
        head, colon, _ = channel.partition(":")
        self.unknown.pop((head, bool(colon)), None)
        if service and len(self._learned) < HEADS:
            self._learned[head, bool(colon)] = service

    def at_edge(self, channel: str) -> str:
        """Return a channel as commands take it: ``mahavishnu/global`` for a shared one."""
        head, _, rest = channel.partition(":")
        return f"{rest}/{head}" if head in self._shared and rest else channel


def is_channel(name: str) -> bool:
    """Tell whether a name in Redis may be a channel of a service: none of the bus's own, or of other programs."""
    return not name.startswith("bus:") and _CHANNEL.fullmatch(name) is not None
