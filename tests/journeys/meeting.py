"""A service of one file with presence, for edges in processes of their own: ``tests.journeys.meeting:SERVICE``."""

from bus.channel import Family
from bus.service import Service

SERVICE = Service(
    name="meeting",
    port=8698,
    welcome="Connected to the meeting",
    families=(Family("room:{room_id}", presence="members"), Family("crowd:{room_id}", presence="count")),
    events=(),
)
