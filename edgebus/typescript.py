"""A service's events and requests as types of TypeScript, from the JSON schemas of the models. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from bus.service import Service

__all__ = ["type_name", "types_of"]

_Schema: TypeAlias = Mapping[str, Any] | bool

_PLAIN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_KINDS: Final = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}
"""Of an integer beyond 2^53 the client makes text; a model with such numbers declares a text (docs/javascript.md)."""


def types_of(service: Service) -> str:
    """Return a module's text: an interface of the events' data by name, and an interface of the requests."""
    name = type_name(service.name)
    events = {event.event_name: _type_of(event, "serialization", sent=True) for event in service.events}
    requests = {
        it.name: f"{{ data: {_type_of(it.question, 'validation')}; answer: {_type_of(it.answer, 'serialization')} }}"
        for it in service.requests
    }
    parts = [f"// Made by `edgebus schema typescript {service.name}`.", _interface(name, events)]
    return "\n\n".join([*parts, *([_interface(f"{name}Requests", requests)] if requests else [])])


def type_name(service: str) -> str:
    """Return the name of a service's interface: ``SessionBuddy`` for session-buddy."""
    words = re.findall(r"[A-Za-z0-9]+", service)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return name if _PLAIN.fullmatch(name) else f"_{name}"


def _interface(name: str, members: Mapping[str, str]) -> str:
    lines = [f"  {json.dumps(key)}: {text};" for key, text in members.items()]
    return "\n".join([f"export interface {name} {{", *lines, "}"])


def _type_of(model: type[BaseModel], mode: Literal["validation", "serialization"], *, sent: bool = False) -> str:
    """Return the type of a model's data; of data that are ``sent``, with the timestamp that the bus puts in."""
    try:
        schema = model.model_json_schema(mode=mode, by_alias=True)
    except PydanticUserError:  # a type of the user's own without a schema
        return "unknown"
    if sent:
        schema["properties"] = {**schema.get("properties", {}), "timestamp": {"type": "string"}}
        schema["required"] = [*schema.get("required", []), "timestamp"]
    return _Types(schema.get("$defs", {})).of(schema)


class _Types:
    """The types of one model's schema.

    Args:
        named: the schemas of ``$defs``, written out in place.

    """

    def __init__(self, named: Mapping[str, _Schema]) -> None:
        self._named = named
        self._open: list[str] = []

    def of(self, schema: _Schema) -> str:
        """Return the type of a schema; ``unknown`` for a schema that says nothing, or refers to itself."""
        if isinstance(schema, bool):
            return "unknown" if schema else "never"
        for key, write in self._forms().items():
            if key in schema:
                return write(schema)
        return _KINDS.get(schema.get("type", ""), "unknown")

    def _forms(self) -> dict[str, Callable[[Mapping[str, Any]], str]]:
        return {
            "$ref": self._referred,
            "const": lambda it: json.dumps(it["const"]),
            "enum": lambda it: " | ".join(map(json.dumps, it["enum"])),
            "anyOf": lambda it: self._any(it["anyOf"]),
            "oneOf": lambda it: self._any(it["oneOf"]),
            "allOf": lambda it: " & ".join(map(self.of, it["allOf"])),
            "prefixItems": lambda it: f"[{', '.join(map(self.of, it['prefixItems']))}]",
            "items": lambda it: f"{_grouped(self.of(it['items']))}[]",
            "properties": self._object,
            "additionalProperties": lambda it: f"Record<string, {self.of(it['additionalProperties'])}>",
            "type": self._kind,
        }

    def _referred(self, schema: Mapping[str, Any]) -> str:
        name = str(schema["$ref"]).rpartition("/")[2]
        if name in self._open or name not in self._named:
            return "unknown"
        self._open.append(name)
        try:
            return self.of(self._named[name])
        finally:
            self._open.pop()

    def _any(self, schemas: list[_Schema]) -> str:
        return " | ".join(dict.fromkeys(_grouped(self.of(it), "&") for it in schemas))

    def _object(self, schema: Mapping[str, Any]) -> str:
        required = schema.get("required", ())
        fields = [
            f"{_key(name)}{'' if name in required else '?'}: {self.of(it)}" for name, it in schema["properties"].items()
        ]
        more = schema.get("additionalProperties", False)
        # An index signature must hold of every field, so its type is not narrower than unknown.
        open_ended = ["[key: string]: unknown"] if more else []
        return f"{{ {'; '.join([*fields, *open_ended])} }}" if fields or open_ended else "Record<string, never>"

    def _kind(self, schema: Mapping[str, Any]) -> str:
        kind = schema["type"]
        if kind == "object":
            return "Record<string, unknown>"
        return "unknown[]" if kind == "array" else _KINDS.get(str(kind), "unknown")


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name)


def _grouped(text: str, sign: str = "|&") -> str:
    """Return a type in parentheses where an operator of ``sign`` stands in it, outside of braces or inside."""
    return f"({text})" if any(f" {it} " in text for it in sign) and not text.startswith("{") else text
