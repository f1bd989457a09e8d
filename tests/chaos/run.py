"""One run: members and faults for a while, then quiet until all is settled, then the verdict."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.faults import Faults, Trouble
from tests.chaos.gateway import Gateway
from tests.chaos.members import TYPING, Member
from tests.chaos.process import Process
from tests.chaos.stand_in import StandIn
from tests.chaos.state import MEMBER_IDS, State
from tests.chaos.verdict import rows, settled, verdict

# Seconds after the last fault in which everything must have ended.
TO_SETTLE: Final = 90.0


@dataclass(frozen=True)
class Result:
    counts: dict[str, object] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


async def run(folder: Path, seconds: float, seed: int, pause: float = 1.0) -> Result:
    """Let ten members and all faults loose; ``pause`` is a member's between two things."""
    state = State(random.Random(f"{seed} state"))
    gateway, process = Gateway(state), Process(folder)
    trouble = Trouble(random.Random(f"{seed} trouble"))
    stand_in = StandIn(state, trouble, gateway)
    faults = Faults(random.Random(f"{seed} faults"), state, trouble, gateway, process)
    async with stand_in.opened() as process.address:
        bot = asyncio.create_task(process.run())
        await asyncio.wait_for(gateway.connected.wait(), 60)
        members = [
            Member(each, random.Random(f"{seed} {each}"), state, gateway, process.address, pause)
            for each in MEMBER_IDS
        ]
        acting = [asyncio.create_task(each.run()) for each in members]
        acting.append(asyncio.create_task(faults.run()))
        done, _ = await asyncio.wait(acting, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in acting:
            task.cancel()
        await asyncio.gather(*acting, return_exceptions=True)
        in_time = await _settle(process)
        bot.cancel()
        await asyncio.gather(bot, return_exceptions=True)
    for task in done:
        # A fault of this code, not of the bot's.
        task.result()
    found = rows(process.database)
    log = process.log.read_text("utf-8", "replace")
    wrong = verdict(state, found, log, process.lives, process.gaps)
    wrong += [] if in_time else [f"not settled {TO_SETTLE:.0f} s after the last fault"]
    return Result(_counts(state, members, faults, process), wrong)


async def _settle(process: Process) -> bool:
    try:
        async with asyncio.timeout(TO_SETTLE):
            while not await asyncio.to_thread(settled, process.database):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    except TimeoutError:
        return False
    return True


def _counts(
    state: State, members: list[Member], faults: Faults, process: Process
) -> dict[str, object]:
    done = sum((each.done for each in members), Counter[str]())
    asked = [each for each in state.interactions.values() if each.kind != TYPING]
    delays = sorted(each.acknowledged for each in asked if each.acknowledged is not None)
    memory = [each for life in process.lives for each in life.memory]
    longest = max(process.lives, key=lambda life: len(life.memory))
    return {
        "members": dict(done),
        "faults": dict(faults.done),
        "Discord's answers": dict(state.answers),
        "jobs": dict(Counter(row.state for row in rows(process.database))),
        "jobs deleted by members": len(state.deleted_jobs & state.jobs.keys()),
        "acknowledged": f"{len(delays)} of {len(asked)}"
        + (f", median {delays[len(delays) // 2]:.3f} s" if delays else ""),
        "bots": f"{len(process.lives)}, ended with {dict(Counter(x.code for x in process.lives))}",
        "memory": f"{max(memory):.0f} MiB at most; the longest life ({len(longest.memory)} s) "
        f"{longest.memory[min(20, len(longest.memory) - 1)]:.0f} → {longest.memory[-1]:.0f} MiB",
    }
