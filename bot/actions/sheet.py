"""The actions of the selects under a sheet, which post one of its cells.

The value of the second axis is asked for in an ephemeral panel, whose ``custom_id`` has the index
of the first: nothing is kept in memory, and members do not see each other's choices.
"""

from __future__ import annotations

from dataclasses import dataclass

from discord import ui

from bot import answers
from bot.actions.dispatch import control
from bot.answers import Interaction, excerpt
from bot.exceptions import Gone
from bot.jobs.jobs import Jobs
from bot.posts.controls import chosen_number, layout, row
from bot.posts.result import NAME_LENGTH, axis_name, cell_select
from bot.store import Job
from bot.translate import t


@dataclass(eq=False)
class Cells:
    """The action of each axis's select."""

    _jobs: Jobs

    @control(cell_x=True, cell_y=False)
    async def _cell(self, x: bool, interaction: Interaction, job: Job, other: int | None) -> None:
        """Take a value of x or y; ``other`` is the index on the other axis, once chosen."""
        sheet = job.sheet
        if sheet is None or (sheet.y is None and not x):
            raise Gone("picture")
        place = chosen_number(interaction)
        if sheet.y is None:
            await self._jobs.open_one(interaction, job, sheet.position(0, place))
        elif other is None:
            known, asked = (sheet.x, sheet.y) if x else (sheet.y, sheet.x)
            if place >= len(known.values):
                raise Gone("picture")
            locale = interaction.locale
            value = excerpt(str(known.values[place]), NAME_LENGTH)
            said = t("sheet.other_axis", locale, name=axis_name(known, locale), value=value)
            select = cell_select(job, asked, "cell_y" if x else "cell_x", locale, place)
            await answers.show(interaction, layout(ui.TextDisplay(said), row(select)))
        else:
            row_chosen, column = (other, place) if x else (place, other)
            await self._jobs.open_one(interaction, job, sheet.position(row_chosen, column))
