"""What tests of the demo model and of its add-ons share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.settings import SHIPPED_DATA
from core.config import EngineConfig
from core.engine.engine import Engine
from core.models.catalogue import Catalogue


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Only what is shipped with the bot."""
    empty = tmp_path_factory.mktemp("none")
    return Catalogue.scan(empty, empty, SHIPPED_DATA)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine on the CPU."""
    engine = Engine(EngineConfig(device="cpu", max_rows=64))
    yield engine
    engine.close()
