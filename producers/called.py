"""The forms in which services call a broadcast method: other names of its arguments, a short form, keywords alone.

Each is declared at the method, as data. The signature that ``inspect`` and editors show is the method's own.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["also_as", "by_keyword", "known_as"]

AnswerT = TypeVar("AnswerT")


def known_as(**names: str) -> Callable[[Callable[..., AnswerT]], Callable[..., AnswerT]]:
    """Take keywords by further names: ``@known_as(tests_failed="failed")``."""

    def declare(method: Callable[..., AnswerT]) -> Callable[..., AnswerT]:
        @functools.wraps(method)
        def call(*args: Any, **given: Any) -> AnswerT:
            for name in given.keys() & names.keys():
                if names[name] in given:
                    raise TypeError(f"{method.__name__}() got an argument by two names: {names[name]}, {name}")
            return method(*args, **{names.get(name, name): value for name, value in given.items()})

        return call

    return declare


def also_as(*short: str, **rest: Any) -> Callable[[Callable[..., AnswerT]], Callable[..., AnswerT]]:
    """Take the arguments ``short`` alone, in this order or by keyword; all others are then as in ``rest``."""

    def declare(method: Callable[..., AnswerT]) -> Callable[..., AnswerT]:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **given: Any) -> AnswerT:
            if len(args) + len(given) == len(short) and given.keys() <= set(short[len(args) :]):
                return method(self, **rest, **dict(zip(short, args, strict=False)), **given)
            return method(self, *args, **given)

        return call

    return declare


def by_keyword(why: str) -> Callable[[Callable[..., AnswerT]], Callable[..., AnswerT]]:
    """Refuse arguments by position, with the names to write and the reason."""

    def declare(method: Callable[..., AnswerT]) -> Callable[..., AnswerT]:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **given: Any) -> AnswerT:
            if args:
                _, *names = inspect.signature(method).parameters
                raise TypeError(f"{method.__name__} takes keywords, {'=…, '.join(names)}=…: {why}")
            return method(self, **given)

        return call

    return declare
