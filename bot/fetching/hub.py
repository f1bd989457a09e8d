"""What Hugging Face offers: a file, a VAE's folder, or the needed part of a diffusers folder.

https://huggingface.co/docs/hub/api; a large file's SHA-256 is its LFS object id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from bot.fetching.offers import SUFFIX, Offer, RemoteFile, is_pickle, pickle_refused, safe_name
from bot.fetching.sources import HubSource, NotFetched
from bot.fetching.web import Web
from core.models.weights.diffusers_folder import WEIGHT_STEMS, check_pipeline, check_vae_config

INDEX: Final = "model_index.json"
ENCODERS: Final = ("text_encoder", "text_encoder_2")
WEIGHTED: Final = ("unet", "vae", *ENCODERS)
PLAIN: Final = ("scheduler", "tokenizer", "tokenizer_2")
# Half the size, and what a graphics card calculates in.
VARIANTS: Final = (".fp16", "", ".bf16", ".fp32", ".non_ema")
# Names that say nothing: the repository's is taken.
GENERIC: Final = re.compile(
    r"(diffusion_)?(pytorch_)?(model|lora_weights|learned_embeds|adapter_model)(\.\w+)?", re.I
)
MAX_SMALL: Final = 16 * 2**20


async def hub_offer(source: HubSource, web: Web) -> Offer:
    """Ask for a repository. Raises :class:`NotFetched`, and
    :class:`~core.errors.Refused` for a pipeline that the bot does not run."""
    page = f"{web.site.base}/{source.repository}"
    api = f"{web.site.base}/api/models/{source.repository}"
    details, _ = await web.json(f"{api}/revision/{quote(source.revision, safe='')}", page)
    commit = str(details["sha"])
    tree: dict[str, RemoteFile] = {}
    following = f"{api}/tree/{commit}?recursive=true"
    while following:
        entries, following = await web.json(following, page)
        for entry in entries:
            if entry["type"] == "file":
                path = str(entry["path"])
                url = f"{page}/resolve/{commit}/{quote(path)}"
                digest = str((entry.get("lfs") or {}).get("oid") or "")
                tree[path] = RemoteFile(url, path, int(entry["size"]), digest)
    card = details.get("cardData") or {}
    name, is_folder, files = _chosen(source, tree)
    index = next((file for file in files if file.path == INDEX), None)
    if index is not None:
        content, _ = await web.json(index.url, page)
        check_pipeline(content, name)
    elif is_folder:
        config = next(file for file in files if file.path == "config.json")
        content, _ = await web.json(config.url, page)
        check_vae_config(content, "VAE", name)
    instance = card.get("instance_prompt")
    return Offer(
        title=f"{source.repository} ({commit[:8]})",
        page=page,
        name=name,
        files=files,
        is_folder=is_folder,
        kind=("model" if index else "VAE") if is_folder else "",
        base_model=_listed(card.get("base_model")),
        licence=_listed(card.get("license_name") or card.get("license")),
        triggers=(str(instance),) if instance else (),
    )


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _chosen(
    source: HubSource, tree: Mapping[str, RemoteFile]
) -> tuple[str, bool, tuple[RemoteFile, ...]]:
    """Choose a name, whether it is a folder, and the files."""
    own = safe_name(source.repository)
    if source.path in tree:
        return _one(tree[source.path], own)
    start = f"{source.path}/" if source.path else ""
    below = {path.removeprefix(start): tree[path] for path in tree if path.startswith(start)}
    if not below:
        raise NotFetched(f"{source.repository} has no {source.path or 'files'}")
    name = safe_name("-".join((own, *source.path.split("/")))) if source.path else own
    if INDEX in below:
        return name, True, tuple(_moved(below, _diffusers(below, name)))
    if "config.json" in below and (weights := _weights(below, "")):
        return name, True, tuple(_moved(below, ["config.json", *weights]))
    found = [path for path in below if path.endswith(SUFFIX) and "/" not in path]
    if len(found) == 1:
        return _one(below[found[0]], own)
    if found:
        shown = ", ".join(found[:12]) + (" …" if len(found) > 12 else "")
        where = "/".join(filter(None, (source.repository, source.path)))
        raise NotFetched(f"there are several files; say which one, as {where}/NAME: {shown}")
    if pickles := [path for path in below if is_pickle(path)]:
        raise pickle_refused(pickles[0])
    raise NotFetched(f"there is no {SUFFIX} file in {source.repository}")


def _one(file: RemoteFile, own: str) -> tuple[str, bool, tuple[RemoteFile, ...]]:
    if is_pickle(file.path):
        raise pickle_refused(file.path)
    if not file.path.endswith(SUFFIX):
        raise NotFetched(f"{file.path} is not a {SUFFIX} file")
    name = safe_name(file.path)
    name = own if GENERIC.fullmatch(name) else name
    return name, False, (RemoteFile(file.url, name + SUFFIX, file.size, file.sha256),)


def _moved(below: Mapping[str, RemoteFile], paths: list[str]) -> Iterator[RemoteFile]:
    for path in paths:
        file = below[path]
        if not all(re.fullmatch(r"[\w-][\w.-]*", step) for step in path.split("/")):
            raise NotFetched(f"{path!r} is no name of a file")
        yield RemoteFile(file.url, path, file.size, file.sha256)


def _diffusers(below: Mapping[str, RemoteFile], name: str) -> list[str]:
    """The files of a checkpoint's folder that the bot reads: each component in one precision."""
    paths = [INDEX]
    for component in WEIGHTED:
        inside = f"{component}/"
        if not any(path.startswith(inside) for path in below):
            continue
        weights = _weights(below, inside)
        if not weights:
            pickles = [path for path in below if path.startswith(inside) and is_pickle(path)]
            raise (
                pickle_refused(pickles[0])
                if pickles
                else NotFetched(f"{name} has no weights in {component}")
            )
        paths += [f"{inside}config.json", *weights]
    small = re.compile(rf"({'|'.join(PLAIN)})/[\w.-]+\.(json|txt)")
    for path, file in below.items():
        if small.fullmatch(path) and (file.size or 0) <= MAX_SMALL:
            paths.append(path)
    missing = [path for path in paths if path not in below]
    if missing:
        raise NotFetched(f"{name} has no {missing[0]}")
    return paths


def _weights(below: Mapping[str, RemoteFile], inside: str) -> list[str]:
    """The weight file of a component, or its index and shards, of the best variant."""
    for variant in VARIANTS:
        for stem in WEIGHT_STEMS:
            single = f"{inside}{stem}{variant}{SUFFIX}"
            if single in below:
                return [single]
            index = f"{inside}{stem}{SUFFIX}.index{variant}.json"
            if index in below:
                shard = re.compile(
                    re.escape(f"{inside}{stem}{variant}") + rf"-\d+-of-\d+{re.escape(SUFFIX)}"
                )
                return [index, *(path for path in below if shard.fullmatch(path))]
    return []
