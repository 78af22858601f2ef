"""Changes by a page with an admin's token: kick, drain, publish an event of a service with its code at hand."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from bus.admin.operator import Operator
from bus.description import forms
from bus.event import Event
from edgebus.dashboard.answers import BadQuestion, text_of
from edgebus.dashboard.names import Names
from producers import Producer

__all__ = ["Actions"]

_Action: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]

_DEADLINE_S: Final = 5.0
_FAULTS: Final = 50

_logger = logging.getLogger("edgebus.dashboard")


class Actions:
    """The verbs of changes, and the models of the form.

    Args:
        url: of Redis.
        operator: tells edges.
        names: the services at hand.

    """

    def __init__(self, url: str, operator: Operator, names: Names) -> None:
        self._url, self._operator, self._names = url, operator, names
        self._stack, self._opening = AsyncExitStack(), asyncio.Lock()
        self._producer: Producer | None = None
        self.table: Mapping[str, _Action] = {
            "dashboard.kick": self._kick,
            "dashboard.drain": self._drain,
            "dashboard.undrain": self._undrain,
            "dashboard.models": self._models,
            "dashboard.publish": self._publish,
        }

    async def close(self) -> None:
        """Close the producer, if there was one."""
        await self._stack.aclose()

    async def do(self, verb: str, data: Mapping[str, Any], user: str | None) -> dict[str, Any]:
        """Carry out a change, with a line in the log.

        Raises:
            BadQuestion: the data are of the wrong kind.
            BusError: an edge or Redis refused, or did not answer.

        """
        if verb != "dashboard.models":
            said = {name: str(it)[:200] for name, it in data.items() if name != "data"}
            _logger.warning("an operator's action on the page", extra={"verb": verb, "by": user, "asked": said})
        return await self.table[verb](data)

    async def _kick(self, data: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {name: text_of(data, name) or None for name in ("client", "user", "room")}
        kicked = await self._operator.kick(**wanted)
        return {"count": kicked.count, "silent": kicked.silent}

    async def _drain(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {"state": (await self._operator.drain(_edge_of(data))).state}

    async def _undrain(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {"state": (await self._operator.undrain(_edge_of(data))).state}

    async def _models(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a service's events, or the names of all services; a schema comes with its event alone."""
        service = self._names.services.get(text_of(data, "service"))
        if service is None:
            return {"services": list(self._names.services)}
        model = service.event(text_of(data, "event"))
        if model is None:
            return {"events": list(dict.fromkeys(it.event_name for it in service.events))}
        return {"schema": model.model_json_schema(), "channels": forms(model)}

    async def _publish(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Publish; faults of the data are an answer, by field."""
        model, fields = self._model(data), data.get("data")
        if not isinstance(fields, dict):
            raise BadQuestion("data: expected an object")
        try:
            event = model.model_validate(fields)
        except ValidationError as error:
            faults = [{"field": str(it["loc"][0]) if it["loc"] else "", "fault": _fault(it)} for it in error.errors()]
            return {"faults": faults[:_FAULTS]}
        published = await (await self._opened()).publish(event, deadline_s=_DEADLINE_S)
        return {"id": published.id, "positions": dict(published.positions), "receivers": published.receivers}

    def _model(self, data: Mapping[str, Any]) -> type[Event]:
        service = self._names.services.get(text_of(data, "service"))
        model = None if service is None else service.event(text_of(data, "event"))
        if model is None:
            raise BadQuestion("event: no service whose code is at hand has it")
        return model

    async def _opened(self) -> Producer:
        # Opened by the first publish: a dashboard without admins needs no right to write.
        async with self._opening:
            if self._producer is None:
                self._producer = await self._stack.enter_async_context(Producer(self._url, name="dashboard"))
        return self._producer


def _edge_of(data: Mapping[str, Any]) -> str:
    edge = text_of(data, "edge")
    if not edge:
        raise BadQuestion("edge: expected the id of an edge")
    return edge


def _fault(error: Any) -> str:
    where = ".".join(map(str, error["loc"][1:]))
    return f"{where}: {error['msg']}" if where else str(error["msg"])
