"""Folding past events into an answer, and leaving events out where a fold cannot take all of them. Pure.

A log may hold events of older models, or typed events. A fold is written against today's models and may fail on such
events; the answer is made of the other events then. The good case costs no extra work.
"""

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, Final, TypeAlias

import orjson
from pydantic import BaseModel, ValidationError

from bus.event import Event
from bus.service import PastEvent, Request

__all__ = ["ModelOf", "fold_what_fits"]

ModelOf: TypeAlias = Callable[[str], type[Event] | None]
"""Returns the model of an event by name, None where the service has no such event."""

# A fold that fails on every event would otherwise be run ten times for each event of a log.
_SEARCHES: Final = 16
"""So many events of their model may fail a fold, each found by some ten folds; past that the fold is at fault."""


def fold_what_fits(
    request: Request[Any, Any], question: BaseModel, past: Sequence[PastEvent], model_of: ModelOf
) -> tuple[BaseModel, Sequence[PastEvent]]:
    """Return the answer to ``question``, and the events left out of the answer.

    Raises:
        Exception: by the fold, where leaving events out does not help.

    """
    try:
        return request.fold(question, past), ()
    except Exception:  # noqa: BLE001 (a fold may trip over anything that it did not expect)
        fits = [_fits(event, model_of(event.event)) for event in past]
    left_out = [event for event, does_fit in zip(past, fits, strict=True) if not does_fit]
    return _search(request, question, list(compress(past, fits)), left_out)


def _search(
    request: Request[Any, Any], question: BaseModel, past: list[PastEvent], left_out: list[PastEvent]
) -> tuple[BaseModel, Sequence[PastEvent]]:
    """Fold; where the fold still fails, find the first failing event, and go on without that event."""
    for _ in range(_SEARCHES):
        try:
            return request.fold(question, past), left_out
        except Exception:
            if not past or not _folds(request, question, ()):
                raise
            left_out.append(past.pop(_first_failing(request, question, past)))
    return request.fold(question, past), left_out


def _first_failing(request: Request[Any, Any], question: BaseModel, past: Sequence[PastEvent]) -> int:
    """Return the place of the first failing event: up to there the fold succeeds."""
    good, bad = 0, len(past)
    while bad - good > 1:
        middle = (good + bad) // 2
        if _folds(request, question, past[:middle]):
            good = middle
        else:
            bad = middle
    return bad - 1


def _folds(request: Request[Any, Any], question: BaseModel, past: Sequence[PastEvent]) -> bool:
    try:
        request.fold(question, past)
    except Exception:  # noqa: BLE001 (see above)
        return False
    return True


def _fits(event: PastEvent, model: type[Event] | None) -> bool:
    """Tell whether an event has all fields of the model; more fields may be there, routing fields are never sent."""
    if model is None:
        return True
    data = {name: value for name, value in event.data.items() if name != "timestamp"}
    try:
        model.model_validate_json(orjson.dumps(data))
    except orjson.JSONEncodeError:
        return False
    except ValidationError as error:
        unsent = {(name,) for name, field in model.model_fields.items() if field.exclude}
        return all(it["type"] == "extra_forbidden" or it["loc"] in unsent for it in error.errors())
    return True
