"""The errors of the bot itself, in the class hierarchy of :mod:`core.errors`.

Each carries fields; ``message`` is for the log, and members' sentences are in :mod:`bot.errors`.
"""

from __future__ import annotations

from core.errors import PenultimateError


class Gone(PenultimateError):
    """Something that was pressed or named no longer exists.

    ``what`` is ``job``, ``picture``, ``message``, ``modal`` or ``control`` …
    """

    message = "this {what} is no longer there"
    what: str


class NotYours(PenultimateError):
    """Only the owner may ``what``: ``delete``, ``cancel`` or ``edit``."""

    message = "only the one who made it can {what} this"
    what: str


class TooMany(PenultimateError):
    """There are already ``limit`` of ``what`` (``presets``)."""

    message = "you already have {limit} {what}; delete one first"
    what: str
    limit: int


class TooManyWords(PenultimateError):
    """A server's list of blocked words over ``limit``, or with one over ``length`` characters."""

    message = "{limit} words of {length} characters can be blocked"
    limit: int
    length: int


class BadPreset(PenultimateError):
    """A file or text that is no preset.

    ``reason`` is ``not_json``, ``no_preset``, ``too_large``, ``missing`` (it could not be
    downloaded), ``nothing`` (neither file nor text) or ``empty`` (no usable value).
    """

    message = "this is no preset ({reason})"
    reason: str


class NoModels(PenultimateError):
    """The catalogue is empty: not even the demo model is there."""

    message = "there is no model to draw with; put one into MODELS_DIR"


class NotAllowed(PenultimateError):
    """``rule`` of the server or the bot's owner (``channel``, ``word`` …) forbids ``name``.

    ``allowed`` is what the rule allows.
    """

    message = "not allowed here ({rule}) {name}"
    rule: str
    name: str = ""
    allowed: tuple[str, ...] = ()


class QuotaUsed(PenultimateError):
    """``used`` of the day's ``quota`` and ``cost`` more, all in pictures, exceed the quota.

    It starts again at ``resets_at``, in Unix seconds.
    """

    message = "{used:g} of {quota} pictures are used; this one costs {cost:g}"
    quota: int
    used: float
    cost: float
    resets_at: int


class UnreadableSettings(PenultimateError):
    """A server's settings that cannot be read.

    ``reason`` is ``not_json``, ``not_settings``, ``newer`` or ``too_large`` of a file, ``closed``
    of the database.
    """

    message = "these settings cannot be read ({reason})"
    reason: str


class CannotExplore(PenultimateError):
    """Axes that make no sheet.

    ``reason`` is ``no_axis`` (values without one), ``no_values``, ``same_axis``, ``denoising``,
    ``clip_skip`` or ``no_effect`` (it would have none), ``no_lora`` (none is used), ``varied`` (of
    what the sheet's axes already vary), ``one_vae`` or ``enlarged`` (the image was not generated).
    """

    message = "these axes make no sheet ({reason})"
    reason: str


class NotSaved(PenultimateError):
    """A picture could not be written: the disk is full, or cannot be written to."""

    message = "the picture could not be written to the disk"


class TooFast(PenultimateError):
    """A member used the bot more often than anybody does by hand."""

    message = "used too often in a short time"


class Unreachable(PenultimateError):
    """The member accepts no direct messages from the bot."""

    message = "this member takes no direct messages"


class Unexpected(PenultimateError):
    """A bug; the log has the traceback under ``incident``."""

    message = "something went wrong (incident {incident})"
    incident: str


class Several(PenultimateError):
    """More than one value of a form cannot be used; ``errors`` has one for each, in its order."""

    errors: tuple[PenultimateError, ...]

    def __str__(self) -> str:
        """Return the messages, a line each."""
        return "\n".join(map(str, self.errors))
