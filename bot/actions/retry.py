"""Forms with input that cannot be used: the error is shown with a button that reopens the form.

The form is kept in memory with its input, which is too large for a ``custom_id``; a prompt is also
in the answer, so that it survives a restart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from discord import ui

from bot import answers
from bot.actions.dispatch import standing
from bot.actions.temporary import Temporary
from bot.answers import Interaction
from bot.errors import sentence
from bot.exceptions import Gone, NotAllowed, NotYours
from bot.gate.gate import Gate
from bot.gate.origin import of_interaction
from bot.posts.controls import layout, row, standing_button
from bot.posts.forms import fields
from bot.translate import t
from core.errors import PenultimateError
from core.models.catalogue import Catalogue
from core.request import GenerationRequest

# About 10 KB each at most.
MAX_FORMS: Final = 500
# Rules that other words, or the same later, can pass. No form asks for a model.
RETRYABLE: Final = ("word", "draining", "unchecked")


class Typed(NamedTuple):
    """A form as a member submitted it."""

    user_id: int
    form: ui.Modal


@dataclass(eq=False)
class Retry:
    """Shows forms, and keeps those with input that could not be used."""

    _catalogue: Catalogue
    _gate: Gate
    _kept: Temporary[Typed] = field(default_factory=lambda: Temporary(MAX_FORMS), init=False)

    async def ask(
        self, interaction: Interaction, form: ui.Modal, request: GenerationRequest
    ) -> None:
        """Show a form for a job like ``request``.

        Raises :class:`~core.errors.UnknownName` or :class:`~bot.exceptions.NotAllowed` when no
        input could be allowed.
        """
        self._catalogue.model(request.model)
        try:
            await self._gate.check(of_interaction(interaction), [request])
        except NotAllowed as error:
            if not _retryable(error):
                raise
        await interaction.response.send_modal(form)

    @asynccontextmanager
    async def typed(
        self, interaction: Interaction, form: Callable[[], ui.Modal]
    ) -> AsyncIterator[dict[str, str]]:
        """Enter with the input, by field; ``form`` makes the form it was typed into.

        An error inside is answered with a button that reopens the form, if other input can help.
        """
        values = fields(interaction)
        try:
            yield values
        except PenultimateError as error:
            if not _retryable(error):
                raise
            await self.offer(interaction, sentence(error, interaction.locale), form(), values)

    async def offer(
        self, interaction: Interaction, said: str, form: ui.Modal, values: dict[str, str]
    ) -> None:
        """Answer with ``said`` and a button that opens the form with ``values`` in it."""
        for item in form.walk_children():
            if isinstance(item, ui.TextInput):
                item.default = values.get(item.custom_id, "")[: item.max_length]
        number = self._kept.keep(Typed(interaction.user.id, form))
        label = t("control.again", interaction.locale)
        again = standing_button(label, "typed_again", number, emoji="✏️")
        said = answers.with_prompt(interaction, said, values.get("prompt", ""))
        await answers.show(interaction, layout(ui.TextDisplay(said), row(again)))

    def forget(self, user_id: int) -> None:
        """Delete the forms of a member."""
        self._kept.forget(lambda typed: typed.user_id == user_id)

    @standing("typed_again")
    async def _reopen(self, interaction: Interaction, number: int | None) -> None:
        """Show the form again to the member who submitted it."""
        kept = self._kept.get(number)
        if kept is None:
            raise Gone("modal")
        if kept.user_id != interaction.user.id:
            raise NotYours("edit")
        await interaction.response.send_modal(kept.form)


def _retryable(error: PenultimateError) -> bool:
    """Whether other input, or the same later, can help."""
    if isinstance(error, NotAllowed):
        return error.rule in RETRYABLE
    return not isinstance(error, (Gone, NotYours))
