"""A server's settings: each is one row of :class:`Server`.

Derived from the rows: reading and writing JSON, ranges, the overview, the panels and the forms, and
the settings that name channels and roles, which may be deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, get_args

from core.options import RANGES, Place, Range, names
from core.sheets.cells import MAX_CELLS

# off: nothing is done. restricted: pictures only in age-restricted channels. spoiler: NSFW
# pictures are hidden. block: they are not posted.
Nsfw = Literal["off", "restricted", "spoiler", "block"]
NSFW: Final[tuple[Nsfw, ...]] = get_args(Nsfw)

# What a server or a channel may have a default for: a seed is one's own, and so is privacy.
DEFAULTS: Final = names(Place.SERVER)

# A select of Discord's holds at most 25.
MAX_ROLES: Final = 25
MAX_MODELS: Final = 200
MAX_WORD: Final = 50
PICTURES_A_DAY: Final = Range(1, 10_000)


# The kinds of files that a server has rules on: for each there are two settings, the names that are
# used here, such as ``models``, and the roles for one, such as ``model_roles``.
FileKind = Literal["model", "lora", "embedding"]
FILE_KINDS: Final[tuple[FileKind, ...]] = get_args(FileKind)

# The kinds of a single value: an id of Discord's, a name, a blocked word, one of the bot's
# languages, a yes or no, and values of options by name.
Part = Literal[
    "channel",
    "role",
    "member",
    "model",
    "lora",
    "embedding",
    "word",
    "language",
    "flag",
    "values",
]


@dataclass(frozen=True, slots=True)
class Each:
    """A list without repetitions, ``most`` entries long at most."""

    of: Part
    most: int


@dataclass(frozen=True, slots=True)
class By:
    """A mapping with ``most`` entries at most."""

    key: Part
    of: Kind
    most: int


# Beside these a range of whole numbers, or the texts of a choice.
Kind: TypeAlias = "Part | Range | tuple[str, ...] | Each | By"


@dataclass(frozen=True, slots=True)
class Setting:
    """The metadata of a row: the kind of value, and the panel of /config and the form it is set in.

    A ``convenience`` restricts nothing, so that it may be left out where it is invalid.
    """

    kind: Kind
    panel: str = ""
    form: str = ""
    convenience: bool = False


def _row(
    kind: Kind, panel: str = "", form: str = "", *, default: Any = None, convenience: bool = False
) -> Any:
    metadata = {"setting": Setting(kind, panel, form, convenience)}
    if isinstance(kind, By) or kind == "values":
        return field(default_factory=dict, metadata=metadata)
    return field(default=() if isinstance(kind, Each) else default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Server:
    """One server's settings and their defaults, in the order in which they are listed.

    An empty list allows everybody and everything; None is the bot's own setting, which also limits
    the numbers. Channels may be categories. ``quota`` and ``role_quotas`` are pictures a day.
    ``max_cells`` is at least the twelve values of clip skip. With ``in_place``, what a member makes
    by a press under their own newest result replaces that one.
    """

    channels: tuple[int, ...] = _row(Each("channel", 25), "access")
    roles: tuple[int, ...] = _row(Each("role", MAX_ROLES), "access")
    models: tuple[str, ...] = _row(Each("model", MAX_MODELS), "models")
    model_roles: Mapping[str, tuple[int, ...]] = _row(
        By("model", Each("role", MAX_ROLES), MAX_MODELS), "models"
    )
    loras: tuple[str, ...] = _row(Each("lora", MAX_MODELS), "loras")
    lora_roles: Mapping[str, tuple[int, ...]] = _row(
        By("lora", Each("role", MAX_ROLES), MAX_MODELS), "loras"
    )
    embeddings: tuple[str, ...] = _row(Each("embedding", MAX_MODELS), "embeddings")
    embedding_roles: Mapping[str, tuple[int, ...]] = _row(
        By("embedding", Each("role", MAX_ROLES), MAX_MODELS), "embeddings"
    )
    max_steps: int | None = _row(RANGES["steps"], "limits", "pictures")
    max_size: int | None = _row(Range(64, RANGES["width"].high), "limits", "pictures")
    max_count: int | None = _row(RANGES["count"], "limits", "pictures")
    max_cells: int | None = _row(Range(12, MAX_CELLS), "limits", "pictures")
    queue_per_member: int | None = _row(Range(1, 100), "limits", "queue")
    queue_total: int | None = _row(Range(1, 10_000), "limits", "queue")
    quota: int | None = _row(PICTURES_A_DAY, "quota")
    role_quotas: Mapping[int, int] = _row(By("role", PICTURES_A_DAY, MAX_ROLES), "quota")
    defaults: Mapping[str, Any] = _row("values", "defaults", convenience=True)
    channel_defaults: Mapping[int, Mapping[str, Any]] = _row(
        By("channel", "values", 50), "defaults", convenience=True
    )
    words: tuple[str, ...] = _row(Each("word", 200), "words")
    nsfw: Nsfw = _row(NSFW, "nsfw", default="off")  # noqa: RUF009
    spoiler: bool = _row("flag", "nsfw", default=False)
    reactions: bool = _row("flag", "general", default=True, convenience=True)
    in_place: bool = _row("flag", "general", default=False, convenience=True)
    language: str | None = _row("language", "general", convenience=True)
    log_channel: int | None = _row("channel", "general", convenience=True)
    banned: tuple[int, ...] = _row(Each("member", 1000))

    @property
    def hides(self) -> bool:
        """Whether pictures are hidden, at least until they are classified."""
        return self.spoiler or self.nsfw in ("spoiler", "block")


SETTINGS: Final[dict[str, Setting]] = {
    field.name: field.metadata["setting"] for field in fields(Server)
}
# The ranges of the numbers.
BOUNDS: Final = {
    name: setting.kind for name, setting in SETTINGS.items() if isinstance(setting.kind, Range)
}
# The limits of the lists and mappings, in entries.
MOST: Final = {
    name: setting.kind.most
    for name, setting in SETTINGS.items()
    if isinstance(setting.kind, Each | By)
}

# In place of settings that cannot be read: nobody may make pictures, and pictures are hidden.
CLOSED: Final = Server(spoiler=True, reactions=False)


def changed(kind: Kind, value: Any, change: Callable[[Kind, Any], Any]) -> Any:
    """Replace each single value in a setting's value by ``change(kind, value)``.

    Values that become None are left out. A list that would become empty stays as it is, for an
    empty one allows everybody. Lists under keys that become equal are joined, up to the limit.
    """
    match kind:
        case Each(of):
            made = (changed(of, item, change) for item in value)
            return tuple(dict.fromkeys(item for item in made if item is not None)) or value
        case By(key, of):
            entries: dict[Any, Any] = {}
            for name, item in value.items():
                name, item = changed(key, name, change), changed(of, item, change)
                if isinstance(of, Each) and name in entries:
                    item = tuple(dict.fromkeys((*entries[name], *item)))[: of.most]
                if name is not None and item is not None:
                    entries[name] = item
            return entries
        case _:
            return None if value is None else change(kind, value)
