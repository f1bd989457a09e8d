"""``ChildProcess``: the engine in a child process, connected by a pipe.

One thread per direction does the blocking calls, so that the event loop never blocks.
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
from typing import Final, Generic, TypeVar

from core.config import EngineConfig
from core.serving.messages import Downward, Stop, Upward

# Seconds to wait for a killed process. One that is stuck in a driver cannot be killed.
KILL_TIMEOUT: Final = 30.0

# The process's entry point: ``core.serving.worker.main``, or a test's stub of it.
Target = Callable[[Connection, EngineConfig], None]

Given = TypeVar("Given")
Down = TypeVar("Down")
Up = TypeVar("Up")


class ChildProcess(Generic[Given, Down, Up]):
    """A child process that runs ``target``; ``Down`` and ``Up`` are the messages to and from it."""

    def __init__(
        self,
        target: Callable[[Connection, Given], None],
        config: Given,
        on_message: Callable[[Up | None], None],
    ) -> None:
        self.pid: int | None = None
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._stopped = False
        self._outbox: queue.SimpleQueue[Down | Stop | None] = queue.SimpleQueue()
        context = multiprocessing.get_context("spawn")
        self._connection, self._child_end = context.Pipe()
        # A daemon is killed with this process even without a call of stop().
        self._process = context.Process(
            target=target, args=(self._child_end, config), name="penultimate-engine", daemon=True
        )
        self._threads = [
            threading.Thread(target=self._read, name="engine-reader", daemon=True),
            threading.Thread(target=self._write, name="engine-writer", daemon=True),
        ]

    def start(self) -> None:
        """Start the process. Blocks; does nothing after :meth:`stop`."""
        with self._lock:
            if self._stopped:
                return
            with _sigint_blocked():
                self._process.start()
            self.pid = self._process.pid
            # While it is open here, the reader sees no end of file when the child dies.
            self._child_end.close()
            for thread in self._threads:
                thread.start()

    def send(self, message: Down) -> None:
        """Pass ``message`` to the writer thread. Never blocks."""
        self._outbox.put(message)

    def stop(self, grace: float) -> str:
        """Ask the process to end and kill it after ``grace`` seconds. Blocks until it is gone.

        A process that cannot be killed is abandoned. Returns how it ended, in words; an empty
        string when it was stopped before.
        """
        with self._lock:
            if self._stopped:
                return ""
            self._stopped = True
            reason = ""
            if self.pid is not None:
                self._outbox.put(Stop())
                self._process.join(grace)
                self._process.kill()
                self._process.join(KILL_TIMEOUT)
                reason = _exit_reason(self._process.exitcode)
                if self._process.exitcode is None:
                    return reason
                self._outbox.put(None)
                for thread in self._threads:
                    thread.join(1.0)
            self._child_end.close()
            self._connection.close()
            self._process.close()
            return reason

    def _read(self) -> None:
        try:
            # The sentinel too: a child of the child may keep the pipe open.
            while self._connection in wait([self._connection, self._process.sentinel]):
                self._deliver(self._connection.recv())
        except (EOFError, OSError):
            pass  # The child has ended, which the last line reports.
        finally:
            self._deliver(None)

    def _write(self) -> None:
        # A broken pipe: the child has ended, which the reader reports.
        with contextlib.suppress(OSError):
            while (message := self._outbox.get()) is not None:
                self._connection.send(message)

    def _deliver(self, message: Up | None) -> None:
        # RuntimeError: the event loop is closed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on_message, message)


class EngineProcess(ChildProcess[EngineConfig, Downward, Upward]):
    """A :class:`~core.serving.transport.Transport` to an engine in a child process."""


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT, so that a process started meanwhile ignores Ctrl-C from its first moment.

    A child inherits the signal mask of the thread that starts it. No effect on Windows.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The resource tracker's start would unblock the signal, so it is started before.
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
