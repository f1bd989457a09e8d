"""Prints what a training has to compute: ``python -m tools.demo_model.estimate``."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from .feed import LENGTH
from .networks import all_exits, make_text_encoder, make_unet, make_vae, parameters
from .settings import SHARES
from .tokens import make_tokenizer

_RATE = 60e12  # operations a second that networks this narrow reach on a large card
_SECONDS = 720


@torch.no_grad()
def _operations(call: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def main() -> None:
    """Count and print."""
    tokenizer = make_tokenizer()
    text = make_text_encoder(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id)
    unet, vae, width = make_unet(), make_vae(), text.config.hidden_size
    condition, ids = torch.randn(1, LENGTH, width), torch.zeros(1, LENGTH, dtype=torch.long)
    counted = {
        "unet": _operations(lambda: unet(torch.randn(1, 4, 24, 24), 5, condition)),
        "text": _operations(lambda: all_exits(text, ids)),
        "encoder": _operations(lambda: vae.encode(torch.randn(1, 3, 192, 192))),
        "decoder": _operations(lambda: vae.decode(torch.randn(1, 4, 24, 24))),
    }
    for name, count in counted.items():
        print(f"{name}: {count / 1e9:.2f} G operations forward, of one picture of 192x192")
    sizes: Any = {"unet": unet, "text": text, "vae": vae}
    for name, network in sizes.items():
        print(f"{name}: {parameters(network) / 1e6:.2f} M parameters")
    each = 3 * (counted["unet"] + counted["text"])  # forward and backward
    seen = SHARES["unet"] * _SECONDS * _RATE / each
    print(f"unet and text: {each / 1e9:.1f} G a picture; {_SECONDS} s at {_RATE / 1e12:.0f} T/s:")
    print(f"  at most {seen / 1e6:.1f} M pictures in {SHARES['unet'] * _SECONDS:.0f} s")
    each = 3 * (counted["encoder"] + counted["decoder"])
    seen = SHARES["vae"] * _SECONDS * _RATE / each
    print(f"vae: {each / 1e9:.1f} G a picture; at most {seen / 1e3:.0f} k pictures")


if __name__ == "__main__":
    main()
