"""``python -m benchmarks.guard [--update] [--json]``: fails when a path has become 15 % dearer than its baseline.

Write the baseline anew (``--update``) in the commit that makes a path cheaper, or dearer for a reason that the commit
gives; never to get an unexplained red run green. A reviewer sees both figures in the difference of ``baseline.json``.
"""

import argparse
import json
import sys

from benchmarks.guard.baseline import interpreter, judged, kept, put_down, ratios
from benchmarks.guard.counting import FLOOR, count
from benchmarks.peer import NotInstallable


def main() -> int:
    """Count, print, judge; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the baseline of this Python anew")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    try:
        counts, _ = count()
    except NotInstallable as missing:
        print(f"bench-guard: {missing}", file=sys.stderr)
        return 1
    now = ratios(counts)
    if options.update:
        put_down(now)
    before, limit = kept()
    if options.json:
        print(json.dumps({"python": interpreter(), "instructions": counts, "ratios": now, "baseline": before}))
    else:
        print(f"{'instructions of one':28}{'now':>12}{'x floor':>10}{'baseline':>10}{'':>8}  ({interpreter()})")
        for path, ratio in now.items():
            old = before.get(path)
            change = f"{ratio / old - 1:+8.1%}" if old else ""
            print(f"{path:28}{counts[path]:12,.0f}{ratio:10.4g}{old or 0:10.4g}{change}")
        print(f"{'step of the floor':28}{counts[FLOOR]:12,.0f}")
    dearer = judged(now, before, limit)
    for sentence in dearer:
        print(f"bench-guard: {sentence}", file=sys.stderr)
    return 1 if dearer else 0


if __name__ == "__main__":
    sys.exit(main())
