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
from core.sheets.sheet import Sheet


@dataclass(eq=False)
class Cells:
    """One action an axis. The number at the end is the place chosen on the other one before."""

    _jobs: Jobs

    @control("cell_x")
    async def _column(self, interaction: Interaction, job: Job, row_chosen: int | None) -> None:
        sheet, column = _sheet_of(job), chosen_number(interaction)
        if sheet.y is None:
            await self._jobs.open_one(interaction, job, sheet.position(0, column))
        elif row_chosen is None:
            await _ask_other(interaction, job, (sheet.x, column), (sheet.y, "cell_y"))
        else:
            await self._jobs.open_one(interaction, job, sheet.position(row_chosen, column))

    @control("cell_y")
    async def _row(self, interaction: Interaction, job: Job, column: int | None) -> None:
        sheet, row_chosen = _sheet_of(job), chosen_number(interaction)
        if sheet.y is None:
            raise Gone("picture")
        if column is None:
            await _ask_other(interaction, job, (sheet.y, row_chosen), (sheet.x, "cell_x"))
        else:
            await self._jobs.open_one(interaction, job, sheet.position(row_chosen, column))


async def _ask_other(
    interaction: Interaction, job: Job, known: tuple[Axis, int], asked: tuple[Axis, str]
) -> None:
    """After a value on one axis, an (axis, action) to choose one on the other."""
    axis, index = known
    if index >= len(axis.values):
        raise Gone("picture")
    locale = interaction.locale
    value = excerpt(str(axis.values[index]), NAME_LENGTH)
    said = t("sheet.other_axis", locale, name=axis_name(axis, locale), value=value)
    other = cell_select(job, *asked, locale, index)
    await answers.show(interaction, layout(ui.TextDisplay(said), row(other)))


def _sheet_of(job: Job) -> Sheet:
    if job.sheet is None:
        raise Gone("picture")
    return job.sheet
