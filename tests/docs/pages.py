"""Reads a page of documentation: its code blocks, and what a comment before one says about it."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(?:<!-- (?P<note>[^>]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    note: str
    text: str


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page below the project's root, in order."""
    text = (ROOT / page).read_text("utf-8")
    return [Block(found["language"], found["note"] or "", found["text"]) for found in _BLOCK.finditer(text)]
