"""One of every error there is, with every reason.

What a member reads of their fields is a figure; a word in one is a detail that only the log has.
"""

from __future__ import annotations

from bot.exceptions import (
    BadPreset,
    CannotExplore,
    Gone,
    NoModels,
    NotAllowed,
    NotSaved,
    NotYours,
    QuotaUsed,
    Several,
    TooFast,
    TooMany,
    TooManyWords,
    Unexpected,
    Unreachable,
    UnreadableSettings,
)
from bot.rules.server import MOST
from core.errors import (
    ALLOWED,
    PICTURES,
    REFUSALS,
    AmbiguousName,
    EngineCrashed,
    EngineStopped,
    InvalidRequest,
    NetworkLimit,
    NetworkMismatch,
    NotFinite,
    OutOfMemory,
    PenultimateError,
    QueueFull,
    Refused,
    SheetTooLarge,
    TooLarge,
    UnknownName,
    UnreadablePicture,
    VaeMismatch,
)
from core.options import RANGES

KINDS = (
    *("model", "VAE", "LoRA", "embedding", "upscaler", "sampler", "schedule type", "axis"),
    *("preset", "style", "job"),
)

EVERY: list[PenultimateError] = [
    *(allowed.invalid(name, "7") for name, allowed in RANGES.items()),
    *(InvalidRequest("prompt", "4001", allowed, 1, 4000, 8) for allowed in ALLOWED),
    *(UnknownName(kind, "7", ("8", "9")) for kind in KINDS),
    *(UnknownName(kind, "7") for kind in KINDS),
    *(
        Refused(kind, "7", reason, "some detail")
        for kind in ("model", "VAE", "LoRA", "embedding", "upscaler")
        for reason in REFUSALS
    ),
    VaeMismatch("7", "sdxl", "8", "sd1"),
    Several((UnknownName("VAE", "7"), UnknownName("model", "8"))),
    AmbiguousName("LoRA", "7", ("8", "9")),
    NetworkMismatch("LoRA", "7", "sdxl", "sd1"),
    *(NetworkLimit(what, "200", 100) for what in ("count", "weight")),
    *(UnreadablePicture(reason, "some detail") for reason in PICTURES if reason != "too_large"),
    UnreadablePicture("too_large", "64 MB"),
    *(SheetTooLarge(what, 200, 100) for what in ("values", "cells", "characters")),
    *(QueueFull(scope, 5) for scope in ("owner", "total", "server", "server_member")),
    OutOfMemory(2048, 2048),
    *(NotFinite(part, "7") for part in ("model", "VAE")),
    EngineCrashed(7),
    EngineStopped("why"),
    *(
        Gone(what)
        for what in ("job", "picture", "made_from", "message", "modal", "control", "share")
    ),
    *(Gone(what) for what in ("model", "lora", "embedding")),
    *(NotYours(what) for what in ("delete", "cancel", "edit", "unshare")),
    *(TooMany(what, 50) for what in ("presets", "styles", *MOST)),
    TooManyWords(50, 5),
    *(
        BadPreset(reason)
        for reason in ("not_json", "no_preset", "too_large", "missing", "nothing", "empty")
    ),
    NoModels(),
    *(
        NotAllowed(rule, "7", ("<#1>", "<#2>"))
        for rule in (
            "banned",
            "channel",
            "role",
            "restricted",
            "model",
            "model_role",
            "lora",
            "lora_role",
            "embedding",
            "embedding_role",
            "word",
            "nsfw",
            "unchecked",
            "draining",
            "unreadable",
        )
    ),
    QuotaUsed(50, 49.5, 1.25, 1_800_000_000),
    QuotaUsed(50, 50, 0, 1_800_000_000),
    *(
        UnreadableSettings(reason)
        for reason in ("not_json", "not_settings", "newer", "too_large", "closed")
    ),
    *(
        CannotExplore(reason)
        for reason in (
            "no_axis",
            "no_values",
            "same_axis",
            "denoising",
            "clip_skip",
            "no_effect",
            "no_lora",
            "one_vae",
            "enlarged",
            "varied",
        )
    ),
    TooLarge(4096, 4096, 2048),
    Unreachable(),
    NotSaved(),
    TooFast(),
    Unexpected("abc123"),
]
