"""The actions of the panels of files: which are used here, and which roles may use one."""

from __future__ import annotations

from typing import Final, NamedTuple

from bot.rules.server import FileKind


class FileActions(NamedTuple):
    """The actions of one kind's controls and form, which stand in posts for ever."""

    allowed: str
    find: str
    found: str
    one: str
    roles: str
    back: str


FILE_ACTIONS: Final[dict[FileKind, FileActions]] = {
    "model": FileActions(
        *("config_allowed", "config_find", "config_found"),
        *("config_model", "config_model_roles", "config_models_back"),
    ),
    "lora": FileActions(
        *("config_loras_allowed", "config_loras_find", "config_loras_found"),
        *("config_lora", "config_lora_roles", "config_loras_back"),
    ),
    "embedding": FileActions(
        *("config_embeds_allowed", "config_embeds_find", "config_embeds_found"),
        *("config_embed", "config_embed_roles", "config_embeds_back"),
    ),
}
# The kind of each panel, and of each action by its place.
KIND_OF_PANEL: Final[dict[str, FileKind]] = {f"{kind}s": kind for kind in FILE_ACTIONS}


def by_kind(place: str) -> dict[str, FileKind]:
    """Name each kind's action of this place, such as ``find``, with the kind."""
    return {getattr(actions, place): kind for kind, actions in FILE_ACTIONS.items()}
