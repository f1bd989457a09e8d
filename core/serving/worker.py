"""The engine process: pipe ↔ ``Engine`` and nothing else.

Its own ``main`` sets up the process before anything heavy is imported.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, NoReturn

from core import heartbeat
from core.config import EngineConfig
from core.events import Event
from core.serving.messages import Abort, Add, Alive, Crashed, Credit, Ready, Stop

if TYPE_CHECKING:
    from core.engine.engine import Engine

# Read by the libraries when they are imported. Nothing is ever fetched: models are local files.
ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # What deterministic cuBLAS needs (strict); costs nothing otherwise.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


def main(connection: Connection, config: EngineConfig) -> None:
    """Run the engine: what the spawned process is given to do."""
    alive = heartbeat.throttled(lambda: connection.send(Alive()))
    run(connection, lambda: _engine(config, alive))


def _engine(config: EngineConfig, alive: Callable[[], None]) -> Engine:
    from core.engine.engine import Engine

    return Engine(config, alive)


def run(connection: Connection, make_engine: Callable[[], Engine]) -> None:
    """Serve until the pipe ends, then end the process. An unknown error is told to both sides."""
    # Ctrl-C reaches the whole terminal; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(ENVIRONMENT)
    if sys.platform != "win32":
        # On a computer without a GPU the bot's answers go before the pictures.
        os.nice(5)
    try:
        engine = make_engine()
        connection.send(Ready(engine.device_name))
        serve(connection, engine)
        engine.close()
        _leave(0)
    except Exception as error:
        parent = multiprocessing.parent_process()
        if parent is not None and parent.is_alive():
            traceback.print_exc()
            connection.send(Crashed(f"{type(error).__name__}: {error}"))
        _leave(1)


def _leave(code: int) -> NoReturn:
    """End at once: the interpreter would take torch apart for seconds, and nothing is left to do.

    Whoever stops or restarts the bot waits for this.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(connection: Connection, engine: Engine) -> None:
    """Step the engine until ``Stop`` or the pipe's end; the pipe is looked at between steps."""
    told: Credit | None = None
    events: list[Event] = []
    while True:
        credit = Credit(engine.rows_free, engine.warm, engine.memory)
        if credit != told:
            connection.send(credit)
            told = credit
        for event in events:
            connection.send(event)
        events = []
        # Blocks only when there is nothing to do.
        if not connection.poll(0 if engine.busy else None):
            events = engine.step()
            continue
        try:
            message = connection.recv()
        except EOFError:
            return
        match message:
            case Add(work):
                engine.add(work)
            case Abort(job_id):
                engine.abort(job_id)
            case Stop():
                return
