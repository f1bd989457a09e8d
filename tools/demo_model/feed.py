"""Draws training pictures in many processes and hands them over in shared memory.

Its processes import Pillow and numpy only; they start before torch makes threads.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from . import captions
from .draw import SIDE, draw_scene
from .fading import random_exit
from .scene import random_scene

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive a fork

LENGTH = 77  # tokens of a caption
CAPTIONS = 4  # of each picture
# Width and height, and the share of the chunks. A chunk of larger pictures holds fewer.
SIZES: dict[tuple[int, int], float] = {
    (SIDE, SIDE): 0.80,
    (2 * SIDE, 2 * SIDE): 0.12,
    (128, 128): 0.02,
    (256, SIDE): 0.03,
    (SIDE, 256): 0.03,
}
_EMPTY, _UNKNOWN = 0.1, 0.04  # shares of captions without words, and without known words


@dataclass(frozen=True)
class Chunk:
    """Pictures (n, h, w, 3) uint8, their captions' ids (n, 4, 77), clip skips (n,)."""

    size: tuple[int, int]
    pixels: np.ndarray
    ids: np.ndarray
    exits: np.ndarray


@dataclass(frozen=True)
class Words:
    """What a process needs to write captions as ids."""

    tokenizer: str  # as JSON
    bos: int
    eos: int


def _rows(reader: Tokenizer, words: Words, texts: list[str]) -> np.ndarray:
    rows = np.full((len(texts), LENGTH), words.eos, np.int16)
    rows[:, 0] = words.bos
    for row, found in zip(rows, reader.encode_batch(texts, add_special_tokens=False), strict=True):
        ids = found.ids[: LENGTH - 2]
        row[1 : 1 + len(ids)] = ids
    return rows


def chunk(size: tuple[int, int], count: int, reader: Tokenizer, words: Words, rng: Any) -> Chunk:
    """Freshly drawn pictures with captions."""
    pixels = np.empty((count, size[1], size[0], 3), np.uint8)
    exits = np.empty(count, np.uint8)
    texts: list[str] = []
    for i in range(count):
        unknown = rng.random() < _UNKNOWN
        scene = captions.unknown_scene(rng) if unknown else random_scene(rng)
        exits[i] = random_exit(rng)
        pixels[i] = np.asarray(draw_scene(scene, rng, int(exits[i]), size))
        for _ in range(CAPTIONS):
            if rng.random() < _EMPTY:
                texts.append(captions.empty(rng))
            else:
                say = captions.unknown(rng) if unknown else captions.caption(scene, rng)
                texts.append(say)
    ids = _rows(reader, words, texts).reshape(count, CAPTIONS, LENGTH)
    return Chunk(size, pixels, ids, exits)


def _count(size: tuple[int, int], room: int) -> int:
    return max(1, room // (size[0] * size[1] * 3))


def _work(seed: str, words: Words, slots: list[Any], free: Any, full: Any) -> None:
    rng, parent = random.Random(seed), os.getppid()
    reader = Tokenizer.from_str(words.tokenizer)
    while os.getppid() == parent:  # an ended run must not leave it behind
        try:
            slot = free.get(timeout=1)
        except queue.Empty:
            continue
        size = rng.choices(list(SIZES), list(SIZES.values()))[0]
        made = chunk(size, _count(size, len(slots[slot])), reader, words, rng)
        np.frombuffer(slots[slot], np.uint8)[: made.pixels.size] = made.pixels.ravel()
        full.put((slot, size, made.ids, made.exits))


class Feed:
    """Chunks as the processes finish them."""

    def __init__(self, slots: list[Any], free: Any, full: Any) -> None:
        self._slots = slots
        self._free = free
        self._full = full

    @contextmanager
    def next(self, wait: float = 0.0) -> Iterator[Chunk | None]:
        """The next chunk, valid inside the ``with``; None when none came in ``wait`` seconds."""
        try:
            found = self._full.get(timeout=wait) if wait else self._full.get_nowait()
        except queue.Empty:
            yield None
            return
        slot, size, ids, exits = found
        count = len(exits) * size[0] * size[1] * 3
        pixels = np.frombuffer(self._slots[slot], np.uint8)[:count]
        try:
            yield Chunk(size, pixels.reshape(len(exits), size[1], size[0], 3), ids, exits)
        finally:
            self._free.put(slot)


@contextmanager
def drawing(words: Words, processes: int, pictures: int, seed: int) -> Iterator[Feed]:
    """A feed whose processes end with the ``with``; a chunk holds ``pictures`` of 192x192."""
    context = multiprocessing.get_context("fork")
    slots = [context.RawArray("B", pictures * SIDE * SIDE * 3) for _ in range(2 * processes + 2)]
    free, full = context.Queue(), context.Queue()
    for i in range(len(slots)):
        free.put(i)
    workers = [
        context.Process(target=_work, args=(f"{seed}/{i}", words, slots, free, full), daemon=True)
        for i in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        yield Feed(slots, free, full)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        for q in (free, full):
            q.cancel_join_thread()
            q.close()
