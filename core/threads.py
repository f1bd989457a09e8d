"""Threads beside the engine's own, each of which computes with one thread of the CPU.

A thread that computes with several keeps them for as long as it lives. Where all such threads
together are more than the CPU's cores, each of them sleeps after every operation in place of
waiting for the next one, and so do the engine's: a UNet call of a small model then takes 62 ms in
place of 25 on two cores.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


def beside(count: int, name: str) -> ThreadPoolExecutor:
    """Make a pool of ``count`` threads that leave the CPU's cores to the engine's."""
    return ThreadPoolExecutor(count, thread_name_prefix=name, initializer=_alone)


def _alone() -> None:
    # The bot's process has no torch.
    import torch

    # A thread's first question takes over the process's number, so it comes before the answer.
    torch.get_num_threads()
    torch.set_num_threads(1)
