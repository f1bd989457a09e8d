"""``EngineProcess``: the engine in a process of its own, at the other end of a pipe.

Two threads do what can block, one for each direction, so that the event loop never does.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Final

from core.config import EngineConfig
from core.serving.messages import Downward, Stop, Upward
from core.serving.transport import Heard

# Seconds for a killed process to be gone. One that is stuck in a driver does not even hear that.
UNKILLABLE: Final = 30.0

# What the process runs: ``core.serving.worker.main``, or a test's stub of it.
Target = Callable[[Connection, EngineConfig], None]


class EngineProcess:
    """One engine process, which runs ``target``, and the two threads on this side of its pipe.

    It is a :class:`~core.serving.transport.Transport`.
    """

    def __init__(self, target: Target, config: EngineConfig, heard: Heard) -> None:
        self.pid: int | None = None
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._stopped = False
        self._outbox: queue.SimpleQueue[Downward | None] = queue.SimpleQueue()
        context = multiprocessing.get_context("spawn")
        self._connection, self._theirs = context.Pipe()
        # A daemon is ended with this process even when nobody calls stop().
        self._process = context.Process(
            target=target, args=(self._theirs, config), name="penultimate-engine", daemon=True
        )
        self._threads = [
            threading.Thread(target=self._read, name="engine-reader", daemon=True),
            threading.Thread(target=self._write, name="engine-writer", daemon=True),
        ]

    def start(self) -> None:
        """Make the process, which blocks. Does nothing after :meth:`stop`."""
        with self._lock:
            if self._stopped:
                return
            with _deaf_to_ctrl_c():
                self._process.start()
            self.pid = self._process.pid
            # Only then does the pipe end for us when the child's end is closed.
            self._theirs.close()
            for thread in self._threads:
                thread.start()

    def send(self, message: Downward) -> None:
        """Leave ``message`` to the writing thread; never blocks."""
        self._outbox.put(message)

    def stop(self, grace: float) -> str:
        """Block until the process is gone: asked for ``grace`` seconds, then killed.

        One that cannot be killed is left as it is. Returns how it ended.
        """
        with self._lock:
            if self._stopped:
                return ""
            self._stopped = True
            reason = ""
            if self.pid is not None:
                self.send(Stop())
                self._process.join(grace)
                self._process.kill()
                self._process.join(UNKILLABLE)
                reason = _exit_reason(self._process.exitcode)
                if self._process.exitcode is None:
                    return reason
                self._outbox.put(None)
                for thread in self._threads:
                    thread.join(1.0)
            self._theirs.close()
            self._connection.close()
            self._process.close()
            return reason

    def _read(self) -> None:
        try:
            # Both are watched: something the child started may hold its end of the pipe open.
            while self._connection in wait([self._connection, self._process.sentinel]):
                self._tell(self._connection.recv())
        except (EOFError, OSError):
            pass  # The pipe's end is the child's; the last line says so.
        finally:
            self._tell(None)

    def _write(self) -> None:
        # A broken pipe: the child died, which the reader tells.
        with contextlib.suppress(OSError):
            while (message := self._outbox.get()) is not None:
                self._connection.send(message)

    def _tell(self, message: Upward | None) -> None:
        # RuntimeError: the loop is closed already, nobody is left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._heard, message)


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let a process made in here ignore Ctrl-C, even before its first line of ours.

    It inherits the mask of the thread that makes it; Windows has no such thing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Its start would unblock the signal again; it is running already then.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_reason(code: int | None) -> str:
    if code is None:
        return "cannot be killed"
    if code < 0:
        return f"ended by signal {-code}, {signal.strsignal(-code)}"
    return f"exit code {code}"
