"""``python run.py doctor``: check the installation and print the next command to run.

Each check yields findings; nothing is changed. torch is imported in a separate process.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import discord

from bot.settings import DOTENV, SHIPPED_DATA, Settings
from bot.store.private import is_open
from core.models.catalogue import Catalogue
from core.pictures.nsfw import counting, labels_in
from core.serving.cluster import driver
from core.serving.cluster.fleet import NO_CARDS
from core.serving.cluster.protocol import ClusterConfig, ClusterNode, Lost, Nodes

INSTALL: Final = "python -m pip install -e ."
START: Final = "python run.py"
SANDBOX: Final = "python run.py sandbox"
# Folders of data/ that a start, or a checkpoint of one file, needs.
SHIPPED: Final = ("configs", "locales", "migrations")
CUDA_BUILD: Final = (
    "python -m pip install --force-reinstall torch=={version} "
    "--index-url https://download.pytorch.org/whl/cu130"
)
ROCM_BUILD: Final = (
    "python -m pip install --force-reinstall torch=={version} --index-url <the address that "
    "https://pytorch.org/get-started/locally shows for ROCm>"
)

# The program of the separate process.
ASK_TORCH: Final = """
import json, torch
cards = [
    (torch.cuda.get_device_name(i), torch.cuda.get_device_properties(i).total_memory)
    for i in range(torch.cuda.device_count())
] if torch.cuda.is_available() else []
print(json.dumps({
    "version": torch.__version__,
    "built_for": "ROCm" if torch.version.hip else "CUDA" if torch.version.cuda else "CPU",
    "cards": cards,
    "mps": torch.backends.mps.is_available(),
}))
"""
SECONDS_FOR_TORCH: Final = 120
SECONDS_FOR_DISCORD: Final = 15
SECONDS_FOR_CLUSTER: Final = 90
GIB: Final = 2**30

Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``fix`` is the command that would fix it, if there is one."""

    level: Level
    text: str
    fix: str = ""


def main(settings: Settings, check: Callable[[Settings], Iterator[Finding]] | None = None) -> int:
    """Print the report; return 0, or 1 when something is wrong.

    ``check`` looks at the data in place of :func:`data`.
    """
    catalogue = settings.catalogue(math.inf)
    sections = {
        "Installed": [*installed(), *checkout()],
        "Device": list(device(settings, ask_torch(), cards_in_machine())),
        "Models, VAEs and add-ons": list(files(settings, catalogue)),
        "Data": list((check or data)(settings)),
        "Discord": [asyncio.run(token(settings))],
    }
    if (config := settings.cluster_config()) is not None:
        sections["Cluster"] = list(cluster(settings, ask_cluster(config[0])))
    for title, findings in sections.items():
        print(title)
        for finding in findings:
            print(f"  {_MARKS[finding.level]} {finding.text}")
            if finding.fix:
                print(f"        {finding.fix}")
    found = [finding for findings in sections.values() for finding in findings]
    otherwise = START if settings.discord_token else SANDBOX
    print(f"\nNext: {next((finding.fix for finding in found if finding.fix), otherwise)}")
    return int(any(finding.level == "wrong" for finding in found))


_MARKS: Final[dict[Level, str]] = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


def installed() -> Iterator[Finding]:
    """Check Python and every required package, by metadata and without importing any."""
    yield Finding("ok", f"Python {platform.python_version()} on {platform.platform(terse=True)}")
    try:
        needed = metadata.requires("penultimate") or []
    except metadata.PackageNotFoundError:
        yield Finding("wrong", "Penultimate itself is not installed", INSTALL)
        return
    versions = []
    for requirement in needed:
        # Extras are optional.
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield Finding("wrong", f"{name} is not installed", INSTALL)
    yield Finding("ok", ", ".join(versions))


def checkout() -> Iterator[Finding]:
    """Check the data beside the code, which a built package lacks."""
    missing = ", ".join(name for name in SHIPPED if not (SHIPPED_DATA / name).is_dir())
    if missing:
        why = "Penultimate runs from a whole checkout of its repository"
        yield Finding("wrong", f"{SHIPPED_DATA} has no {missing}: {why}", "git checkout -- data")


def ask_torch() -> dict[str, Any] | str:
    """Return torch's version, build and devices, or why it cannot be imported."""
    command = [sys.executable, "-W", "ignore", "-c", ASK_TORCH]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_FOR_TORCH, check=False
        )
    except subprocess.TimeoutExpired:
        return f"torch does not answer within {SECONDS_FOR_TORCH} s"
    lines = said.stdout.splitlines()
    if said.returncode or not lines:
        return (said.stderr.strip().splitlines() or ["torch cannot be imported"])[-1]
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def cards_in_machine() -> tuple[str, ...]:
    """Return the makers of graphics cards with an installed driver, whatever torch finds."""
    nvidia = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists()
    return ("NVIDIA",) * bool(nvidia) + ("AMD",) * Path("/dev/kfd").exists()


def device(
    settings: Settings, torch: dict[str, Any] | str, cards: tuple[str, ...]
) -> Iterator[Finding]:
    """Check the devices that torch finds, and for a card that its build cannot use."""
    if isinstance(torch, str):
        yield Finding("wrong", f"torch cannot be used: {torch}", INSTALL)
        return
    version, built_for = f"torch {torch['version']}", torch["built_for"]
    for number, (name, memory) in enumerate(torch["cards"]):
        yield Finding("ok", f"cuda:{number}: {name}, {memory / GIB:.0f} GiB ({version})")
    if torch["mps"]:
        yield Finding("ok", f"Apple GPU ({version})")
    if cards and not torch["cards"]:
        text = f"there is an {' and an '.join(cards)} card"
        if built_for == "CPU":
            build = CUDA_BUILD if "NVIDIA" in cards else ROCM_BUILD
            fix = build.format(version=torch["version"].partition("+")[0])
            yield Finding("wrong", f"{text}, but {version} is built for the CPU only", fix)
        else:
            text = f"{text} and {version} is built for {built_for}, but it sees no card"
            yield Finding("wrong", f"{text}: is the driver new enough?")
    elif not torch["cards"] and not torch["mps"]:
        yield Finding("note", f"no graphics card: the CPU draws, slowly ({version})")
    for each in settings.device:
        wanted, _, index = each.partition(":")
        there = {"auto": True, "cpu": True, "cuda": int(index or 0) < len(torch["cards"])}
        if not there.get(wanted, bool(torch.get(wanted))):
            text = f"DEVICE={','.join(settings.device)}: {each} is not there"
            yield Finding("wrong", f"{text}; name those that are, or leave DEVICE out")
    if not settings.engine_timeout:
        yield Finding("note", "ENGINE_TIMEOUT=0: an engine that hangs is never restarted")


def ask_cluster(config: ClusterConfig) -> tuple[ClusterNode, ...] | str:
    """Return the cluster's computers with graphics cards, or why it cannot be used."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=driver.main, args=(theirs, config), daemon=True)
    process.start()
    theirs.close()
    try:
        said = ours.recv() if ours.poll(SECONDS_FOR_CLUSTER) else None
    except EOFError:
        said = None
    process.kill()
    process.join()
    match said:
        case Nodes(nodes):
            return nodes
        case Lost(reason):
            return reason
    return f"the Ray cluster {config.address} does not answer"


def cluster(settings: Settings, found: tuple[ClusterNode, ...] | str) -> Iterator[Finding]:
    """List the cluster's computers."""
    if isinstance(found, str):
        yield Finding("wrong", found)
        return
    for node in found:
        yield Finding("ok", f"{node.host}: {node.cards} graphics card{'s' * (node.cards > 1)}")
    if not found:
        yield Finding("wrong", NO_CARDS)
    if not settings.local:
        yield Finding("note", "this computer draws nothing; name its devices in DEVICE to use them")


def files(settings: Settings, catalogue: Catalogue) -> Iterator[Finding]:
    """List every model and VAE that was found, and those that are not loaded, with the reason."""
    for folder, kind in ((settings.models_dir, "models"), (settings.vaes_dir, "VAEs")):
        if not folder.is_dir():
            yield Finding("note", f"your {kind} go into {folder}, which is not there yet")
    for model in catalogue.models:
        width, height = model.size
        yield Finding("ok", f"model {model.name} ({model.family}, {width}x{height})")
    for vae in catalogue.vaes:
        fits = [model.name for model in catalogue.models if vae.fits(model)]
        yield Finding("ok", f"VAE {vae.name} (fits {len(fits)} of {len(catalogue.models)} models)")
    yield from addons(settings, catalogue)
    for refused in catalogue.refused:
        yield Finding("wrong", str(refused))
    for warning in catalogue.warnings:
        yield Finding("note", warning)
    if settings.nsfw_model is not None:
        # Both were validated with the settings.
        labels = labels_in(settings.nsfw_model)
        nsfw = counting(labels, settings.nsfw_labels)
        shown = ", ".join(
            f"{label} (NSFW)" if label.casefold() in nsfw else label for label in labels
        )
        yield Finding("ok", f"classifier {settings.nsfw_model.name}: {shown}")
    if not catalogue.models:
        text = f"there is no model to draw with; put one into {settings.models_dir}"
        yield Finding("wrong", text)


def addons(settings: Settings, catalogue: Catalogue) -> Iterator[Finding]:
    """Count the LoRAs, embeddings and upscalers, by what they fit."""
    found: dict[str, Counter[str | None]] = {
        "LoRAs": Counter(each.family for each in catalogue.networks),
        "embeddings": Counter(each.family for each in catalogue.embeddings),
        "upscalers": Counter(f"{each.scale}x" for each in catalogue.upscalers),
    }
    for kind, counts in found.items():
        if counts:
            shown = ", ".join(f"{count} {what or 'unknown'}" for what, count in counts.items())
            yield Finding("ok", f"{counts.total()} {kind} ({shown})")
        else:
            yield Finding("ok", f"no {kind} in {settings.addons[kind.casefold()]}")


def data(settings: Settings) -> Iterator[Finding]:
    """Check that the data folder can be written to and has free space."""
    folder = settings.data_dir
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        yield Finding("wrong", f"{folder} cannot be written to; set DATA_DIR to another folder")
        return
    if DOTENV.exists() and is_open(DOTENV):
        text = f"{DOTENV} has the token, and others may read it; the next start closes it"
        yield Finding("note", text)
    free = shutil.disk_usage(there).free / GIB
    level: Level = "ok" if free >= 1 else "wrong"
    yield Finding(level, f"{folder} has {free:.1f} GiB free")


async def token(settings: Settings) -> Finding:
    """Check that Discord accepts the token, by one request."""
    if settings.discord_token is None:
        text = "DISCORD_TOKEN is not set: the sandbox works, Discord does not."
        return Finding("note", f"{text} Copy .env.example to .env and put the token in")
    # This client never connects to the gateway.
    async with discord.Client(intents=discord.Intents(guilds=True)) as client:
        try:
            async with asyncio.timeout(SECONDS_FOR_DISCORD):
                await client.login(settings.discord_token)
                commands = await _registered(client, settings.guild_id)
        except discord.LoginFailure:
            return Finding("wrong", "Discord does not accept the token: reset it, copy it again")
        except discord.HTTPException as error:
            return Finding("note", f"Discord has trouble and did not check the token: {error}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            text = f"offline: Discord cannot be reached to check the token ({why})"
            return Finding("note", text)
        works = f"the token works: it is {client.user}"
        if not commands:
            text = f"{works}, but Discord has none of its commands; a start registers them"
            return Finding("note", text)
        return Finding("ok", f"{works}, with {commands} commands registered")


async def _registered(client: discord.Client, guild_id: int | None) -> int:
    """Count the commands that Discord has of the bot: on its one server, or everywhere."""
    assert client.application_id is not None
    if guild_id is not None:
        return len(await client.http.get_guild_commands(client.application_id, guild_id))
    return len(await client.http.get_global_commands(client.application_id))
