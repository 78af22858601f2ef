"""Things by the name of their group, in the order of coming; a group without things is forgotten. Pure."""

from typing import Generic, TypeVar

__all__ = ["Groups"]

ThingT = TypeVar("ThingT")


class Groups(Generic[ThingT]):
    """Groups of things. A thing may be in many groups."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[ThingT, None]] = {}  # dicts for sets: the order is that of coming

    def add(self, name: str, thing: ThingT) -> None:
        """Put ``thing`` into the group ``name``; twice is harmless."""
        self._groups.setdefault(name, {})[thing] = None

    def remove(self, name: str, thing: ThingT) -> None:
        """Take ``thing`` out of the group ``name``; twice is harmless."""
        group = self._groups.get(name, {})
        group.pop(thing, None)
        if not group:
            self._groups.pop(name, None)

    def of(self, name: str) -> tuple[ThingT, ...]:
        """Return the things in the group ``name``, at no cost for other groups."""
        return tuple(self._groups.get(name, ()))

    def oldest_of_largest(self) -> ThingT:
        """Return the first thing of the largest group; there must be a thing."""
        largest = max(self._groups.values(), key=len)
        return next(iter(largest))
