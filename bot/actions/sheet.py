"""What the selects under a sheet do: post one of its cells.

The second axis is asked for in an ephemeral panel of its own, whose ``custom_id`` holds the first
choice: nothing is kept in memory, and nobody sees another's choice.
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
    """An action for each axis."""

    _jobs: Jobs

    @control(cell_x=True, cell_y=False)
    async def _cell(self, x: bool, interaction: Interaction, job: Job, other: int | None) -> None:
        """A value was picked, on x or on y; ``other`` is the other axis's place, once known."""
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
    """After the value at ``index`` of one axis, ask for one of the other."""
    if index >= len(axis.values):
        raise Gone("picture")
    locale = interaction.locale
    value = excerpt(str(axis.values[index]), NAME_LENGTH)
    said = t("sheet.other_axis", locale, name=axis_name(axis, locale), value=value)
    other = cell_select(job, asked, action, locale, index)
    await answers.show(interaction, layout(ui.TextDisplay(said), row(other)))
