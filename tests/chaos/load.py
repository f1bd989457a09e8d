"""How soon the bot acknowledges under load: ``python -m tests.chaos.load``, in a minute.

1,000 uses in 10 s while images are drawn; then one member's 400 presses a second for 10 s, beside
ten others. Over real sockets, with nothing failing.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from time import monotonic

from tests.chaos.faults import Trouble
from tests.chaos.gateway import Gateway
from tests.chaos.members import Member
from tests.chaos.process import Process
from tests.chaos.stand_in import StandIn
from tests.chaos.state import MEMBER_IDS, Interaction, State

SECONDS = 10


async def uses(members: list[Member], a_second: int) -> list[Interaction]:
    """Send ``/queue`` evenly over 10 s, by one member after another."""
    made, began = [], monotonic()
    for number in range(a_second * SECONDS):
        await asyncio.sleep(began + number / a_second - monotonic())
        member = members[number % len(members)]
        made.append(await member.command_once(["queue"]))
    await asyncio.sleep(3)
    return made


def told(title: str, made: list[Interaction]) -> str:
    delays = sorted(each.acknowledged for each in made if each.acknowledged is not None)
    at = {share: delays[int(len(delays) * share / 100)] * 1000 for share in (50, 99)}
    return f"{title}: {len(delays)} of {len(made)}, p50 {at[50]:.0f} ms, p99 {at[99]:.0f} ms"


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        state = State(random.Random(1))
        gateway, process = Gateway(state), Process(Path(folder))
        stand_in = StandIn(state, Trouble(random.Random(1)), gateway)
        async with stand_in.opened() as process.address:
            bot = asyncio.create_task(process.run())
            await gateway.connected.wait()
            everybody = [
                Member(each, random.Random(each), state, gateway, process.address)
                for each in MEMBER_IDS
            ]
            await asyncio.sleep(3)
            for member in everybody[:5]:
                await member.draw()
            print(told("1,000 uses in 10 s while drawing", await uses(everybody, 100)))
            await asyncio.sleep(10)
            before = process.lives[-1].memory[-1]
            flood = asyncio.create_task(uses(everybody[:1], 400))
            print(told("others beside 400 a second", await uses(everybody[1:], 20)))
            await flood
            during = max(process.lives[-1].memory[-15:])
            await asyncio.sleep(10)
            after = process.lives[-1].memory[-1]
            print(f"memory {before:.0f} → {during:.0f} → {after:.0f} MiB")
            bot.cancel()
            await asyncio.gather(bot, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
