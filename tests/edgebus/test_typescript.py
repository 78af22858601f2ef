"""Types of TypeScript from the models: every service's, and every form of a schema."""

from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from bus.channel import Family
from bus.event import Event
from bus.service import Service
from edgebus.typescript import type_name, types_of
from tests.edgebus.test_cli import run
from tests.npm import PACKAGE

ROOM = Family("room:{room_id}")


class Colour(Enum):
    RED = "red"
    ONE = 1


class Node(BaseModel):
    """Refers to itself."""

    name: str
    children: list["Node"] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int


class Everything(Event, event="everything.happened", channels=(ROOM,)):
    """Has a field of every form."""

    room_id: str
    colour: Colour
    maybe: int | None = None
    either: list[int | str]
    pair: tuple[int, str]
    table: dict[str, list[bool]]
    price: Decimal
    literal: Literal["a", 'b"c']
    node: Node
    more: Open
    anything: Any
    bare: list[Any]
    odd_name: float = Field(alias="odd-name")


SERVICE = Service(name="own-service", port=8700, welcome="hello", families=(ROOM,), events=(Everything,))


def test_forms() -> None:
    """Each form of a schema has its form in TypeScript."""
    text = types_of(SERVICE)
    assert text.startswith("// Made by `edgebus schema typescript own-service`.\n\nexport interface OwnService {\n")
    for field in (
        "room_id: string",
        'colour: "red" | 1',
        "maybe?: number | null",
        "either: (number | string)[]",
        "pair: [number, string]",
        "table: Record<string, boolean[]>",
        "price: string",
        r'literal: "a" | "b\"c"',
        "node: { name: string; children?: unknown[] }",
        "more: { known: number; [key: string]: unknown }",
        "anything: unknown",
        "bare: unknown[]",
        '"odd-name": number',
        "timestamp: string",
    ):
        assert field in text, field


@pytest.mark.parametrize(("service", "name"), [("session-buddy", "SessionBuddy"), ("a_b", "AB"), ("3d", "_3d")])
def test_type_name(service: str, name: str) -> None:
    """A service's name is a name of TypeScript."""
    assert type_name(service) == name


def test_services() -> None:
    """The types of the built-in services, which `tsc` checks with the package, are those of their models today."""
    printed = run("schema", "typescript")
    assert printed.returncode == 0
    assert printed.stdout.decode() == (PACKAGE / "test" / "services.ts").read_text("utf-8")


def test_unknown_service() -> None:
    """A service that is none gets a sentence, and no stack trace."""
    printed = run("schema", "typescript", "mahavishni")
    assert printed.returncode == 2
    assert b"mahavishnu" in printed.stderr
    assert b"Traceback" not in printed.stderr
