"""Answers of a service's requests about a channel, folded here from the log, as by an edge."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from bus.channel import Channel
from bus.errors import ChannelError
from bus.log.log import Log
from bus.service import PastEvent, Request, Service
from edgebus.dashboard.names import Names
from edges.session.folding import fold_what_fits

__all__ = ["cards_of"]

_MOST: Final = 4


async def cards_of(names: Names, log: Log, channel_name: str) -> list[dict[str, Any]]:
    """Return the answers of the requests whose subject the channel is."""
    service = names.services.get(names.service(channel_name))
    if service is None:
        return []
    try:
        channel = service.channel(
            channel_name.partition(":")[0] if channel_name.startswith("global:") else channel_name
        )
    except ChannelError:
        return []
    cards = []
    for request, question, channels in list(_asked(service, channel))[:_MOST]:
        past = [await _past(log, it, of_state=request.state and it.keyed is not None) for it in channels]
        merged = past[0] if len(past) == 1 else sorted((it for one in past for it in one), key=lambda it: it.timestamp)
        answer, _ = fold_what_fits(request, question, merged, service.event)
        cards.append(
            {
                "request": request.name,
                "question": question.model_dump(mode="json"),
                "answer": answer.model_dump(mode="json"),
            }
        )
    return cards


def _asked(service: Service, channel: Channel) -> Iterator[tuple[Request[Any, Any], BaseModel, Sequence[Channel]]]:
    """Yield requests whose question a channel's name fills, with question and channels; the channel is the first."""
    family = service.family(channel)
    value = family.value(channel)
    for request in service.requests:
        if not request.has_fold:
            continue
        # A request with more fields is asked by a person alone: the page would have to guess their values.
        try:
            question = request.question.model_validate({} if family.field is None else {family.field: value})
            channels = request.channels(question)
        except (ValidationError, ChannelError):
            continue
        if channels and channels[0].name == channel.name:
            yield request, question, channels


async def _past(log: Log, channel: Channel, *, of_state: bool) -> Sequence[PastEvent]:
    return (await (log.past_of_state(channel) if of_state else log.history(channel))).events
