"""A service's models, as a client uses them: events, answers and channels by the catalogue. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import orjson
from pydantic import ValidationError

from bus.errors import ChannelError
from bus.event import Event
from bus.service import Service
from clients.errors import WrongAnswer
from clients.values import Received

__all__ = ["Catalogue"]


class Catalogue:
    """The models of ``service``; without a service, events and answers stay as they came."""

    def __init__(self, service: Service | None) -> None:
        self._service = service
        self._models: defaultdict[str, list[type[Event]]] = defaultdict(list)
        for model in service.events if service is not None else ():
            self._models[model.event_name].append(model)

    def kind(self, channel: str) -> Literal["live", "latest", "history"] | None:
        """Return a channel's retention, None when the catalogue does not know the channel."""
        if self._service is None:
            return None
        try:
            return self._service.channel(channel).retention.kind
        except ChannelError:
            return None

    def typed(self, received: Received) -> Received:
        """Return the event with its model; an event that fits no model of its name stays as it is."""
        for model in self._models.get(received.event, ()):
            found = _fitted(model, received.data)
            if found is not None:
                return replace(received, model=found)
        return received

    def answer(self, verb: str, data: Mapping[str, Any]) -> Any:
        """Return an answer as its model where the catalogue has a model, else unchanged.

        Raises:
            WrongAnswer: the answer does not fit its model.

        """
        request = self._service.request(verb) if self._service is not None else None
        if request is None:
            return data
        try:
            return request.answer.model_validate_json(orjson.dumps(data))
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, it["loc"])) for it in error.errors())
            raise WrongAnswer(f"{verb}: the answer does not fit {request.answer.__name__}: {fields}") from None


def _fitted(model: type[Event], data: Mapping[str, Any]) -> Event | None:
    """Return an event's data as ``model``, None where the data does not fit.

    ``timestamp`` is the bus's addition and no field of the model's.
    """
    # decisions/0064: validated as JSON, where a strict model takes a list for a tuple and a text for a time.
    sent = {key: value for key, value in data.items() if key != "timestamp"}
    try:
        return model.model_validate_json(orjson.dumps(sent))
    except ValidationError:
        return None
