"""Every property of what members give the bot, for minutes: ``python -m tests.fuzz --minutes 10``.

The same properties as in the tests, with other examples in each round. It stops at the first that
fails, with hypothesis's own report.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

# Where the properties of each subject are.
SUBJECTS: Final = {
    "prompt language": ("tests/core/prompt",),
    "infotext": (
        "tests/core/pictures/test_infotext.py",
        "tests/core/pictures/test_importing.py",
        "tests/core/pictures/test_pasted.py",
        "tests/core/pictures/test_reading.py",
        "tests/core/pictures/test_foreign.py",
    ),
    "axes": ("tests/core/sheets/test_cells.py",),
    "imports": ("tests/bot/rules/test_values.py",),
    "blocked words and markdown": ("tests/bot/rules/test_words.py", "tests/bot/test_markdown.py"),
    "safetensors headers": ("tests/core/models/test_catalogue.py",),
    "LoRA keys": ("tests/core/models/test_networks.py",),
    "attachments": ("tests/core/pictures/test_files.py",),
}
_EXAMPLES: Final = re.compile(r"^    - (\d+) passing", re.MULTILINE)


def one_round(paths: tuple[str, ...], seed: int) -> tuple[int, str]:
    """Run a subject's properties once; the examples that passed, and the report of a failure."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", "hypothesis", *paths]
    command += ["--hypothesis-show-statistics", f"--hypothesis-seed={seed}", "--timeout=3600"]
    environment = os.environ | {"HYPOTHESIS_PROFILE": "fuzz"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    passed = sum(int(count) for count in _EXAMPLES.findall(ended.stdout))
    return passed, "" if ended.returncode == 0 else ended.stdout + ended.stderr


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each subject")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    arguments = parser.parse_args()
    seeds = random.Random(arguments.seed)
    for subject in arguments.subjects or SUBJECTS:
        began, examples, rounds = time.monotonic(), 0, 0
        while (passed := time.monotonic() - began) < arguments.minutes * 60:
            found, failure = one_round(SUBJECTS[subject], seeds.getrandbits(32))
            examples, rounds = examples + found, rounds + 1
            if failure:
                print(f"{subject}: after {passed / 60:.1f} minutes\n{failure}")
                return 1
        minutes = (time.monotonic() - began) / 60
        print(f"{subject}: {examples:,} examples in {minutes:.1f} minutes, {rounds} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
