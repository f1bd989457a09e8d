"""``python run.py``: run the bot on Discord until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Final

import aiohttp
import discord

from bot.cli import logs
from bot.cli.backup import half_restored
from bot.cli.lock import FolderInUse, alone_in
from bot.client import Penultimate
from bot.settings import DOTENV, Settings
from bot.store import DatabaseTooNew
from bot.store.private import close_to_others
from core.errors import EngineStopped
from core.serving.client import EngineClient

log = logging.getLogger(__name__)

OFFLINE_ERRORS: Final = (
    aiohttp.ClientError,
    TimeoutError,
    discord.HTTPException,
    discord.GatewayNotFound,
)
NO_TOKEN: Final = (
    "DISCORD_TOKEN is not set. Make an application on https://discord.com/developers/applications, "
    "copy the token from its Bot page into .env (see .env.example), and start again. To try the "
    "bot without Discord: python run.py sandbox"
)
BAD_TOKEN: Final = (
    "Discord does not accept the token. Reset it on the application's Bot page "
    "(https://discord.com/developers/applications) and copy the new one into .env."
)
OFFLINE: Final = "Discord cannot be reached{why}. Check the network and start again."
CLOSED: Final = (
    "Discord ended the connection with the code {code}. Start again; where that does not help, "
    "update the bot."
)
HALF_RESTORED: Final = (
    "A restore was stopped before its end ({folder}). Run it again: python run.py restore DIR"
)
NO_ENGINE: Final = "No image can be generated: {why}. What to do about it: python run.py doctor"
BAD_DATABASE: Final = "The database {path} cannot be used: {error}."
BAD_FOLDER: Final = (
    "The bot cannot write to {folder}: {error}. Make room there or give its user the right to "
    "write, or set DATA_DIR to another folder."
)
# Discord allows 1,000 connections a day; after that it ends all of them and resets the token. A bot
# without an engine ends, and is started again: at most once in these seconds, 720 times a day.
SECONDS_FOR_ENGINES: Final = 120.0


def main(settings: Settings) -> int:
    """Run until Ctrl-C or SIGTERM; return the exit code, 2 with a sentence on what to change."""
    if settings.discord_token is None:
        return _refuse(NO_TOKEN)
    logs.set_up(settings.log_level, settings.discord_token, settings.log_format)
    try:
        close_secrets(DOTENV)
        with alone_in(settings.data_dir):
            if (folder := half_restored(settings)) is not None:
                return _refuse(HALF_RESTORED.format(folder=folder))
            asyncio.run(serve(settings, settings.discord_token))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    except discord.LoginFailure:
        return _refuse(BAD_TOKEN)
    except (FolderInUse, DatabaseTooNew) as error:
        return _refuse(str(error))
    except EngineStopped as error:
        return _refuse(NO_ENGINE.format(why=error.detail))
    except sqlite3.DatabaseError as error:
        return _refuse(BAD_DATABASE.format(path=settings.database_path, error=error))
    except discord.ConnectionClosed as error:
        # 4004: the token was reset while the bot ran.
        return _refuse(BAD_TOKEN if error.code == 4004 else CLOSED.format(code=error.code))
    except discord.PrivilegedIntentsRequired:
        return _refuse(CLOSED.format(code=4014))
    except OFFLINE_ERRORS as error:
        return _refuse(OFFLINE.format(why=_why(error)))
    except OSError as error:
        return _refuse(BAD_FOLDER.format(folder=settings.data_dir, error=error))
    return 0


async def serve(settings: Settings, token: str) -> None:
    """Log in, print the invite link, and serve until cancelled."""
    # A service manager's SIGTERM is handled as Ctrl-C, so that the engine process ends too.
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with Penultimate(settings) as bot:
        await bot.login(token)
        print(f"Invite the bot to a server: {bot.invite_url}", flush=True)
        engine = asyncio.create_task(_an_engine(bot))
        others = (_connect(bot, engine), bot.upkeep.failed())
        parts = [engine, *map(asyncio.create_task, others)]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for part in parts:
                part.cancel()
            # While it reconnects, discord.py swallows a cancellation: what ends it is this.
            await bot.close()
            results = await asyncio.gather(*parts, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _connect(bot: Penultimate, engine: asyncio.Task[None]) -> None:
    """Connect to Discord once ``engine`` is there, or takes long. Raises what it raises."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_FOR_ENGINES):
            await asyncio.shield(engine)
    await bot.connect()


async def _an_engine(bot: Penultimate) -> None:
    """Wait for the first engine. Raises :class:`EngineStopped` if none of them can be started.

    A cluster is not waited for: it may be started later than the bot.
    """
    if bot.fleet is not None:
        return
    waits = [asyncio.create_task(_why_not(each)) for each in bot.engines]
    reasons: list[str] = []
    try:
        for each in asyncio.as_completed(waits):
            if (reason := await each) is None:
                bot.queue.release()
                return
            reasons.append(reason)
    finally:
        for wait in waits:
            wait.cancel()
    raise EngineStopped("; ".join(dict.fromkeys(reasons)))


async def _why_not(engine: EngineClient) -> str | None:
    """Wait for an engine; return why it cannot be started, None when it is ready."""
    try:
        await engine.ready()
    except EngineStopped as error:
        return error.detail
    return None


def close_secrets(path: Path) -> None:
    """Take others' rights to the file with the token away."""
    if path.exists() and close_to_others(path):
        log.warning("%s has the token and could be read by others: it is closed to them", path)


def _why(error: Exception) -> str:
    # Of "Cannot connect to host discord.com:443 ssl:default [Connect call failed ('::1', 443)]".
    reason = error.strerror if isinstance(error, aiohttp.ClientConnectorError) else None
    return f": {reason}".partition(" (")[0] if reason else ""


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2
