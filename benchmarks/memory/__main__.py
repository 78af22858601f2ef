"""``python -m benchmarks.memory [--minutes 30]``: does an edge, or a producer, grow while clients come and go?

A real Redis, an edge, 1,000 clients in 200 rooms of which a tenth is replaced in each minute and a tenth goes and
resumes, and a producer of 500 events a second. Prints memory, files, tasks and objects of both every ten seconds; then
the slopes after the first five minutes, and the verdict. Ends with 1 where a figure grows, or an event was lost.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.memory.curve import drawn, settled, slopes, verdict
from benchmarks.memory.living import Life, live

__all__ = ["main"]


def main(words: Sequence[str] | None = None) -> int:
    """Run, print, write; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rooms", type=int, default=200)
    parser.add_argument("--rate", type=float, default=500.0, help="events per second")
    parser.add_argument("--replaced", type=float, default=0.1, help="share of the clients, in a minute")
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two samples")
    parser.add_argument("--leak", metavar="MODULE", help="imported into the edge first; tests let it leak")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the memory there")
    options = parser.parse_args(words)
    life = asyncio.run(live(options))
    grown = _report(life)
    if options.json:
        told = {name: [asdict(it) for it in samples] for name, samples in life.curves.items()}
        options.json.write_text(json.dumps({"curves": told, "tally": asdict(life.tally), "grown": grown}) + "\n")
    if options.svg:
        options.svg.write_text(drawn(life.curves))
    wrong = life.tally.lost or life.tally.doubled or life.tally.told or life.tally.closed
    return 1 if grown or wrong else 0


def _report(life: Life) -> list[str]:
    """Print slopes, verdict and counts; return what grows."""
    grown = []
    for name, samples in life.curves.items():
        late = settled(samples)
        found = slopes(late)
        grown += [f"{name}: {it}" for it in verdict(late)]
        print(f"{name}, slopes a minute: " + ", ".join(f"{figure} {slope:+.1f}" for figure, slope in found.items()))
    print(", ".join(f"{count:,} {what}" for what, count in asdict(life.tally).items()))
    print("\n".join(grown) if grown else "flat")
    return grown


if __name__ == "__main__":
    sys.exit(main())
