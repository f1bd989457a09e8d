"""Keeps drawn pictures and their latents on the training device."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .feed import CAPTIONS, LENGTH, SIZES, Chunk, Feed
from .networks import Vae


@dataclass
class Batch:
    """Latents (n, 4, h, w), token ids (n, 77), clip skips (n,)."""

    latents: torch.Tensor
    ids: torch.Tensor
    exits: torch.Tensor


def to_tensor(pixels: torch.Tensor) -> torch.Tensor:
    """Pictures (n, h, w, 3) uint8 as (n, 3, h, w) in -1…1, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def bring(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array on the device, without waiting for what the device has still to do."""
    if device.type != "cuda":
        return torch.from_numpy(array)
    now: Any = torch.cuda.current_stream(device)
    with torch.cuda.stream(_side_stream(device)):
        brought = torch.from_numpy(array).to(device)
    now.wait_stream(_side_stream(device))
    brought.record_stream(now)
    return brought


@functools.cache
def _side_stream(device: torch.device) -> Any:
    stream: Any = torch.cuda.Stream
    return stream(device)


class Shelf:
    """The pictures of one size: pixels of the first, latents of all; new ones replace old ones."""

    def __init__(
        self, size: tuple[int, int], capacity: int, kept: int, device: torch.device
    ) -> None:
        width, height = size
        self.pixels = torch.empty(kept, height, width, 3, dtype=torch.uint8, device=device)
        self.latents = torch.empty(
            capacity, 4, height // 8, width // 8, dtype=torch.float16, device=device
        )
        self.ids = torch.empty(capacity, CAPTIONS, LENGTH, dtype=torch.int16, device=device)
        self.exits = torch.empty(capacity, dtype=torch.uint8, device=device)
        self.drawn = 0  # pictures with pixels
        self.coded = 0  # pictures with latents, at most the capacity
        self.seen = 0  # pictures ever encoded
        self.room = torch.ones((), device=device)  # ``coded`` where a CUDA graph can read it

    def keep(self, chunk: Chunk) -> bool:
        """Keep a chunk's pixels; False when there is no room."""
        count = len(chunk.exits)
        if self.drawn + count > len(self.pixels):
            return False
        rows = slice(self.drawn, self.drawn + count)
        self.pixels[rows] = bring(chunk.pixels, self.pixels.device)
        self.ids[rows] = bring(chunk.ids, self.ids.device)
        self.exits[rows] = bring(chunk.exits, self.exits.device)
        self.drawn += count
        return True

    @torch.no_grad()
    def encode_kept(self, vae: Vae) -> None:
        """Latents of all kept pictures, the first rows of the shelf."""
        for at in range(0, self.drawn, 128):
            rows = slice(at, min(at + 128, self.drawn))
            self.latents[rows] = encode(vae, self.pixels[rows])
        self.coded = self.seen = self.drawn
        self.room.fill_(self.coded)

    def add(self, vae: Vae, chunk: Chunk) -> None:
        """Encode a chunk and keep its latents in the place of the oldest."""
        device = self.latents.device
        found = encode(vae, bring(chunk.pixels, device))
        # The kept pictures' rows stay: their captions belong to their pixels.
        free = len(self.latents) - self.drawn
        place = torch.arange(self.seen, self.seen + len(found), device=device) - self.drawn
        rows = self.drawn + place % free
        self.latents[rows] = found
        self.ids[rows] = bring(chunk.ids, device)
        self.exits[rows] = bring(chunk.exits, device)
        self.seen += len(found)
        self.coded = min(self.seen, len(self.latents))
        self.room.fill_(self.coded)

    def pictures(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Random kept pictures, (count, h, w, 3) uint8."""
        rows = torch.randint(self.drawn, (count,), device=self.pixels.device, generator=generator)
        return self.pixels[rows]

    def batch(self, count: int) -> Batch:
        """Random latents, each with one of its captions."""
        device = self.latents.device
        rows = (torch.rand(count, device=device) * self.room).long()
        rows = rows.minimum(self.room.long() - 1)
        which = torch.randint(CAPTIONS, (count,), device=device)
        return Batch(
            self.latents[rows].float(), self.ids[rows, which].long(), self.exits[rows].long()
        )


@torch.no_grad()
def encode(vae: Vae, pixels: torch.Tensor) -> torch.Tensor:
    """Scaled latents in fp16 of pictures (n, h, w, 3) uint8."""
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.is_cuda):
        found = vae.encode(to_tensor(pixels)).latent_dist.mode()
    latents: torch.Tensor = (found.float() * vae.config.scaling_factor).half()
    return latents


class Pool:
    """A shelf for each size."""

    def __init__(self, pictures: int, kept: int, device: torch.device) -> None:
        self.shelves: dict[tuple[int, int], Shelf] = {}
        main = next(iter(SIZES))
        for size, share in SIZES.items():
            room = share / SIZES[main] * (main[0] * main[1]) / (size[0] * size[1])
            shelf = Shelf(size, max(16, int(pictures * room)), max(16, int(kept * room)), device)
            self.shelves[size] = shelf
        self.main = self.shelves[main]

    def draw(self, feed: Feed, chunks: int, wait: float = 0.0) -> int:
        """Keep what the feed has, at most so many chunks; how many pictures came."""
        came = 0
        for _ in range(chunks):
            with feed.next(wait) as chunk:
                if chunk is None:
                    break
                if self.shelves[chunk.size].keep(chunk):
                    came += len(chunk.exits)
        return came

    def code(self, vae: Vae, feed: Feed, chunks: int, wait: float = 0.0) -> None:
        """Encode what the feed has, at most so many chunks."""
        for _ in range(chunks):
            with feed.next(wait) as chunk:
                if chunk is None:
                    break
                self.shelves[chunk.size].add(vae, chunk)

    def encode_kept(self, vae: Vae) -> None:
        """Latents of all kept pictures."""
        for shelf in self.shelves.values():
            shelf.encode_kept(vae)
