"""``python -m tests.chaos --minutes N --seed S``: exits with 1 where something was found."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Result, run


def report(result: Result) -> str:
    """The counts, then every fault."""
    return "\n".join(
        [
            *(f"{title}: {counts}" for title, counts in result.counts.items()),
            *(f"FAULT: {each}" for each in result.faults),
            f"{len(result.faults)} faults",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder for the bot's log and data")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        place = arguments.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        result = asyncio.run(run(place, arguments.minutes * 60, arguments.seed))
    print(report(result))
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
