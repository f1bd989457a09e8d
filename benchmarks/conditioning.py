"""The cost of clip skip: all layers' outputs from one pass, and early exits.

``python -m benchmarks.conditioning [--device cpu|cuda] [--threads N] [--rounds 9]``: a full-size
CLIP-L (12 layers of 768) of random weights. Embeddings are compared first; then the variants run
warm, in shuffled order, without cache; medians, ranges and the ratios are printed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from core.models.weights.clip_tokenizer import clip_tokenizer
from core.prompt.parser import parse_weights, read
from core.text.conditioning import Conditioning, TextConditioner

# One chunk each: the tokenizer has no merges, so a token is a byte.
PROMPT: Final = "masterpiece, best quality, 1girl, red scarf, night sky, stars"
NEGATIVE: Final = "worst quality, low quality, blurry, jpeg artifacts"
EXITS: Final = range(1, 13)
STEPS: Final = 20


def clip_l(device: str) -> Any:
    """Return a CLIP-L of random weights."""
    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    model: Any = CLIPTextModel(config)
    return model.eval().to(device)


def tensors(encoded: Conditioning) -> Tensor:
    """Return the context of a prompt without a schedule."""
    return encoded.at(0)[0][1]


class Variants:
    """The ways to encode a prompt and a negative prompt for a sheet over clip skip 1 to 12."""

    def __init__(self, device: str) -> None:
        self.model = clip_l(device)
        # Without a cache: every pass after the first would be free.
        self.conditioner = TextConditioner(clip_tokenizer(()), self.model, cache_bytes=0)

    def sheet(self) -> list[Tensor]:
        """Encode by one pass per prompt, for all clip skips."""
        prompts = (read(PROMPT, STEPS), read(NEGATIVE, STEPS, negative=True))
        return [
            tensors(encoded)
            for prompt in prompts
            for encoded in self.conditioner.encode_all_exits(prompt).values()
        ]

    def one_by_one(self) -> list[Tensor]:
        """Encode by a full pass of transformers per clip skip and prompt, as 12 jobs would."""
        return [self.whole_pass(text, exit_) for text in (PROMPT, NEGATIVE) for exit_ in EXITS]

    def early_stops(self) -> list[Tensor]:
        """Encode by our pass per clip skip and prompt, with early exit."""
        return [self.stop(text, exit_) for text in (PROMPT, NEGATIVE) for exit_ in EXITS]

    @torch.no_grad()
    def whole_pass(self, text: str, clip_skip: int) -> Tensor:
        """Encode by transformers' pass through all layers."""
        (chunk,), _ = self.conditioner.encoders[0].chunks(parse_weights(text))
        tokens = torch.tensor([chunk.tokens], device=self.model.device)
        states = self.model(tokens, output_hidden_states=True).hidden_states
        normed: Tensor = self.model.final_layer_norm(states[-clip_skip])[0]
        return normed

    def stop(self, text: str, clip_skip: int) -> Tensor:
        """Encode by our pass, with early exit at one clip skip."""
        return tensors(self.conditioner.encode(read(text, STEPS), clip_skip))


def check(variants: Variants) -> None:
    """Exit unless early exits have a whole pass's bits, and transformers' pass is within 1e-5."""
    stock, sheet, stopped = variants.one_by_one(), variants.sheet(), variants.early_stops()
    if not all(torch.equal(a, b) for a, b in zip(sheet, stopped, strict=True)):
        raise SystemExit("stopping early does not give the bits of a whole pass")
    worst = max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(sheet, stock, strict=True)
    )
    if worst > 1e-5:
        raise SystemExit(f"ours differs from transformers' pass by {worst:.1e}")
    print(f"parity  early stops bit-identical to the sheet; transformers within {worst:.0e}")


def measure(
    variants: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return the seconds of each run, by variant; the order is shuffled in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(variants), len(variants)):
            start = clock()
            variants[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(clock() - start)
    return seconds


def spread(values: Sequence[float], unit: str) -> str:
    """Format the median and the range."""
    return (
        f"median {statistics.median(values):8.1f}{unit}  range {min(values):.1f}–{max(values):.1f}"
    )


def main() -> None:
    """Compare the embeddings, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # On a CPU, process time excludes other programs.
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    variants = Variants(options.device)
    print(f"{options.device}, {options.threads} threads, {variants.model.dtype}, {clock.__name__}")
    check(variants)
    seconds = measure(
        {
            "12 exits, one pass": variants.sheet,
            "12 × (+ and −), transformers": variants.one_by_one,
            "12 × (+ and −), early stop": variants.early_stops,
            "clip skip 1": lambda: variants.stop(PROMPT, 1),
            "clip skip 12": lambda: variants.stop(PROMPT, 12),
        },
        options.rounds,
        clock,
    )
    for name, times in seconds.items():
        print(f"{name:29} {spread([each * 1e3 for each in times], ' ms')}")
    sheet, whole, early, first, last = seconds.values()
    for name, slow, fast in (
        ("12 exits ÷ separate passes (to reach: 8)", whole, sheet),
        ("12 exits ÷ separate early stops", early, sheet),
        ("clip skip 12 ÷ clip skip 1 (to reach: 5)", first, last),
    ):
        print(f"{name:41} {spread([a / b for a, b in zip(slow, fast, strict=True)], '×')}")


if __name__ == "__main__":
    main()
