"""Trains the autoencoder, then its decoder alone, and the second decoder of vivid colours."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import l1_loss, mse_loss

from .colour import vivid
from .feed import Feed
from .networks import Vae, make_vae
from .pool import Pool, to_tensor
from .settings import Settings
from .training import (
    Average,
    Clock,
    apply,
    cosine,
    load,
    network_optimizers,
    remember_rates,
    save,
)

_EDGES = ("conv_in", "conv_out", "quant")
_CROP = 96
_FORGIVEN = 0.04  # noise on latents, as a share of their deviation
_VIVID = 2.6  # strength of the vivid colours


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences between neighbouring pixels, across and down."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def picture_loss(got: torch.Tensor, want: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, and the error of the edges for crisp corners."""
    loss = l1_loss(got, want) + mse_loss(got, want)
    for a, b in zip(edges(got), edges(want), strict=True):
        loss = loss + 0.6 * l1_loss(a, b)
    return loss


def crops(pool: Pool, count: int, side: int, rng: random.Random) -> torch.Tensor:
    """The same crop of random pictures, (count, 3, side, side) in -1…1."""
    pixels = pool.main.pictures(count)
    y, x = (rng.randrange(0, n - side + 1, 4) for n in pixels.shape[1:3])
    return to_tensor(pixels[:, y : y + side, x : x + side])


def _joint_loss(vae: Vae, want: torch.Tensor, settings: Settings) -> torch.Tensor:
    with settings.autocast():
        posterior = vae.encode(want).latent_dist
        got = vae.decode(posterior.sample()).sample
    variance = posterior.logvar.float().exp()
    kl = 0.5 * (posterior.mean.float() ** 2 + variance - 1 - posterior.logvar.float()).mean()
    loss: torch.Tensor = picture_loss(got.float(), want) + 5e-4 * kl
    return loss


def _decoder_loss(vae: Vae, shown: torch.Tensor, look: str, settings: Settings) -> torch.Tensor:
    want = vivid(shown, _VIVID) if look == "vivid" else shown
    with settings.autocast():
        with torch.no_grad():
            latents = vae.encode(shown).latent_dist.mode()
            # A UNet's latents are never exact: the decoder learns to forgive a little.
            latents = latents + _FORGIVEN * latents.std() * torch.randn_like(latents)
        got = vae.decode(latents).sample
    return picture_loss(got.float(), want)


def _run(vae: Vae, look: str, lr: float, pool: Pool, feed: Feed, settings: Settings) -> Vae:
    """Train for its time; ``look`` is "both" for the whole autoencoder. Its averaged weights."""
    clock = Clock(settings.left("vae" if look == "both" else look))
    rng, step = random.Random(f"vae/{look}"), 0
    vae.train()
    average = Average(vae, 0.995)
    opts = network_optimizers(vae, lr, _EDGES)
    remember_rates(opts)
    while (progress := clock.progress) < 1:
        pool.draw(feed, 2)
        # Crops first: more of them in the same time. Whole pictures at the end.
        whole = look != "both" or progress > 0.85
        count = settings.crops // 4 if whole else settings.crops
        shown = crops(pool, count, 192 if whole else _CROP, rng)
        if look == "both":
            loss = _joint_loss(vae, shown, settings)
        else:
            loss = _decoder_loss(vae, shown, look, settings)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        apply(opts, cosine(progress, step, 50) + 0.005)
        average.update(step)
        step += 1
        settings.report(f"vae {look}", step, progress, loss)
    vae.load_state_dict(average.weights)
    return vae.eval()


def _only_decoder(vae: Vae) -> None:
    vae.requires_grad_(True)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)


def _scaling_factor(vae: Vae, pool: Pool) -> float:
    """What brings the latents to unit variance."""
    with torch.no_grad():
        found = vae.encode(to_tensor(pool.main.pictures(min(256, pool.main.drawn))))
    return round(1.0 / float(found.latent_dist.mode().std()), 5)


def _read(path: Path, settings: Settings) -> Vae | None:
    state = load(path)
    if state is None:
        return None
    vae = make_vae()
    vae.load_state_dict(state["vae"])
    vae.register_to_config(scaling_factor=state["scaling_factor"])
    return vae.to(settings.device, memory_format=torch.channels_last).eval()


def _keep(vae: Vae, path: Path) -> Vae:
    save({"vae": vae.state_dict(), "scaling_factor": vae.config.scaling_factor}, path)
    return vae


def train_vae(pool: Pool, feed: Feed, settings: Settings) -> Vae:
    """The model's own autoencoder: both halves, then the decoder on latents that lie.

    An earlier one below ``work`` is where it starts from, or is taken as it is when the run has
    no time for it.
    """
    path = settings.work / "vae.pt"
    if vae := _read(path, settings):
        return vae
    torch.manual_seed(settings.seed)
    vae = make_vae().to(settings.device, memory_format=torch.channels_last)
    start = load(settings.work / "vae-start.pt")
    if start:
        vae.load_state_dict(start["vae"])
    if "vae" in settings.parts:
        vae = _run(vae, "both", 1.5e-3 if start else 2e-3, pool, feed, settings)
    vae.register_to_config(scaling_factor=_scaling_factor(vae, pool))
    if "natural" in settings.parts:
        _only_decoder(vae)
        vae = _run(vae, "natural", 1e-3, pool, feed, settings)
    return _keep(vae.eval(), path)


def train_vivid(natural: Vae, pool: Pool, feed: Feed, settings: Settings) -> Vae:
    """A second decoder for the same latents, in stronger colours."""
    path = settings.work / "vivid.pt"
    if vae := _read(path, settings):
        return vae
    vae = make_vae().to(settings.device, memory_format=torch.channels_last)
    vae.load_state_dict(natural.state_dict())
    vae.register_to_config(scaling_factor=natural.config.scaling_factor)
    _only_decoder(vae)
    return _keep(_run(vae, "vivid", 1e-3, pool, feed, settings), path)
