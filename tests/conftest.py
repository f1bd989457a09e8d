"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from simcord import interactions

from bot.settings import Settings
from bot.store import Store
from tests.simulation import World, simulate


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings as on a fresh machine, with everything that is written below ``tmp_path``."""
    return Settings.load({"DATA_DIR": str(tmp_path / "data")}, dotenv_path=None)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """A new, empty store."""
    store = await Store.open(settings.database_path, settings.images_dir)
    yield store
    await store.close()


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    """The whole bot in an offline Discord, with a fake engine."""
    async with simulate(settings) as world:
        yield world


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the language that everybody's Discord has from now on."""
    build = interactions.base_payload

    def speak(locale: str) -> None:
        def built(*args: Any, **options: Any) -> Any:
            record, payload = build(*args, **options)
            return record, payload | {"locale": locale}

        monkeypatch.setattr(interactions, "base_payload", built)

    return speak
