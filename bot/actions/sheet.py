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
from core.sheets.axes import Axis


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
            await _ask_other(interaction, job, known, place, asked, "cell_y" if x else "cell_x")
        else:
            row_chosen, column = (other, place) if x else (place, other)
            await self._jobs.open_one(interaction, job, sheet.position(row_chosen, column))


async def _ask_other(
    interaction: Interaction, job: Job, axis: Axis, index: int, asked: Axis, action: str
) -> None:
    """Ask for a value of the axis ``asked``; ``index`` is the one chosen on ``axis``."""
    if index >= len(axis.values):
        raise Gone("picture")
    locale = interaction.locale
    value = excerpt(str(axis.values[index]), NAME_LENGTH)
    said = t("sheet.other_axis", locale, name=axis_name(axis, locale), value=value)
    other = cell_select(job, asked, action, locale, index)
    await answers.show(interaction, layout(ui.TextDisplay(said), row(other)))
