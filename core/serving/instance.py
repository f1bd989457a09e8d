"""``Life``: what the client knows of one engine, from its start to its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.serving.transport import Transport


@dataclass(slots=True, eq=False)
class Life:
    """The client's account of one engine.

    ``heard_at`` is when it last gave a sign of life, by the client's clock. ``ready``: it can
    work. ``useful``: it ended a job. ``ended``: nothing more is heard of it. ``last_words``:
    why it died, as far as it could tell. ``owes``: the jobs whose end it has to tell.
    """

    transport: Transport
    heard_at: float
    ready: bool = False
    useful: bool = False
    ended: bool = False
    last_words: str = ""
    owes: set[int] = field(default_factory=set)
