"""What can go wrong in the bot itself, beside the core's tree of errors.

Each carries fields, never a sentence for members: those are in :mod:`bot.errors`.

    PenultimateError
    ├── Gone          what was pressed or named is no longer there
    ├── NotYours      only its owner may do this
    ├── TooMany       no more of these fit
    ├── NoModels      there is nothing to draw with
    ├── BadPreset     a file or text that is no preset
    ├── NotAllowed    the server's rules, or the bot's owner, say no
    ├── QuotaUsed     no more pictures today on this server
    ├── UnreadableSettings  a file that holds no server's settings
    ├── CannotExplore axes that make no sheet
    ├── TooLarge      an upscaled picture beyond the owner's limit
    ├── Unreachable   a member who takes no direct messages
    └── Unexpected    a bug; the log has the rest under ``incident``
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import PenultimateError


@dataclass(eq=False)
class Gone(PenultimateError):
    """``what`` is ``job``, ``picture``, ``message``, ``modal`` or ``control`` …"""

    what: str

    def __str__(self) -> str:
        return f"this {self.what} is no longer there"


@dataclass(eq=False)
class NotYours(PenultimateError):
    """Only the one who made it may ``what``: ``delete``, ``cancel`` or ``edit``."""

    what: str

    def __str__(self) -> str:
        return f"only the one who made it can {self.what} this"


@dataclass(eq=False)
class TooMany(PenultimateError):
    """There are already ``limit`` of ``what`` (``presets``)."""

    what: str
    limit: int

    def __str__(self) -> str:
        return f"you already have {self.limit} {self.what}; delete one first"


@dataclass(eq=False)
class BadPreset(PenultimateError):
    """``reason`` is ``not_json``, ``no_preset``, ``too_large``, ``missing`` (it could not be
    fetched), ``nothing`` (neither file nor text) or ``empty`` (no value that can be used)."""

    reason: str

    def __str__(self) -> str:
        return f"this is no preset ({self.reason})"


@dataclass(eq=False)
class NoModels(PenultimateError):
    """The catalogue is empty: not even the demo model is there."""

    def __str__(self) -> str:
        return "there is no model to draw with; put one into MODELS_DIR"


@dataclass(eq=False)
class NotAllowed(PenultimateError):
    """``rule`` says no (``channel``, ``word`` …) to ``name``; ``allowed`` is what may be."""

    rule: str
    name: str = ""
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"not allowed here ({self.rule}) {self.name}".strip()


@dataclass(eq=False)
class QuotaUsed(PenultimateError):
    """``used`` of ``quota`` pictures are spent and ``cost`` more do not fit until ``resets_at``,
    in Unix seconds."""

    quota: int
    used: float
    cost: float
    resets_at: int

    def __str__(self) -> str:
        return f"{self.used:g} of {self.quota} pictures are used; this one costs {self.cost:g}"


@dataclass(eq=False)
class UnreadableSettings(PenultimateError):
    """``reason`` is ``not_json``, ``not_settings``, ``newer`` or ``too_large`` of a file;
    ``closed`` where the database holds what cannot be read."""

    reason: str

    def __str__(self) -> str:
        return f"these settings cannot be read ({self.reason})"


@dataclass(eq=False)
class CannotExplore(PenultimateError):
    """``reason`` is ``no_axis`` (values without one), ``no_values``, ``same_axis``, ``denoising``,
    ``clip_skip`` (neither would change anything), ``varied`` (nor would what a sheet has its own
    values of) or ``one_vae``."""

    reason: str

    def __str__(self) -> str:
        return f"these axes make no sheet ({self.reason})"


@dataclass(eq=False)
class TooLarge(PenultimateError):
    """A picture of ``width`` × ``height`` was asked for; a side may have ``limit`` pixels."""

    width: int
    height: int
    limit: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height} is over {self.limit} pixels a side"


@dataclass(eq=False)
class Unreachable(PenultimateError):
    """The member takes no direct messages from the bot."""

    def __str__(self) -> str:
        return "this member takes no direct messages"


@dataclass(eq=False)
class Unexpected(PenultimateError):
    """A bug. ``incident`` finds it in the log."""

    incident: str

    def __str__(self) -> str:
        return f"something went wrong (incident {self.incident})"
