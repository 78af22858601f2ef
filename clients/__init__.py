"""A client of edges that reconnects for ever and never loses an event in silence.

::

    async with connect("ws://127.0.0.1:8690", service=SERVICE) as client:
        async for value in client.subscribe("workflow:42", since="-15m"):
            print(value)

Order holds per channel, not across channels. An event on two of a client's channels comes twice, with one ``id``.
The client rests on edges' answers, never on Redis. The values of a subscription stand in ``clients.values``.
"""

import os
import runpy

_house = os.path.dirname(os.path.dirname(__file__))
runpy.run_path(os.path.join(_house, "bus", "neighbours.py"))["check"](_house, "bus")

from clients.client import Client, connect
from clients.errors import (
    AlreadyFollowed,
    AuthenticationFailed,
    ClientClosed,
    ClientError,
    Disconnected,
    Dismissed,
    Redirected,
    Refused,
    RequestTimeout,
    Unreachable,
    Unsendable,
    Untrusted,
    WrongAddress,
    WrongAnswer,
)
from clients.presence import Member, Room
from clients.subscription import Subscription
from clients.token import Token
from clients.values import Gap, Interrupted, Joined, Left, Present, Published, Received, Recovered, State, Value

__all__ = [
    "AlreadyFollowed",
    "AuthenticationFailed",
    "Client",
    "ClientClosed",
    "ClientError",
    "Disconnected",
    "Dismissed",
    "Gap",
    "Interrupted",
    "Joined",
    "Left",
    "Member",
    "Present",
    "Published",
    "Received",
    "Recovered",
    "Redirected",
    "Refused",
    "RequestTimeout",
    "Room",
    "State",
    "Subscription",
    "Token",
    "Unreachable",
    "Unsendable",
    "Untrusted",
    "Value",
    "WrongAddress",
    "WrongAnswer",
    "connect",
]
