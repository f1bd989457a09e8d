"""What Civitai offers: one version's file, its terms, and what its example images agree on.

https://developer.civitai.com/site/reference/model-versions
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from bot.fetching.offers import SUFFIX, Offer, RemoteFile, is_pickle, pickle_refused, safe_name
from bot.fetching.sources import CivitaiSource, NotFetched
from bot.fetching.web import Web
from core.errors import PenultimateError
from core.options import OPTIONS, SELDOM, Place, names
from core.request import split_sampler

# Numbers and names that a card can have, by the letters of A1111's key: clipSkip, cfgScale.
ADVICE: Final = {
    re.sub(r"\W", "", OPTIONS[name].infotext).casefold(): name
    for name in names(Place.CARD)
    if name not in SELDOM
    and OPTIONS[name].infotext
    and (OPTIONS[name].range or OPTIONS[name].choices)
}
# Images that must say the same, and their share of those that say anything.
AGREEING: Final = 3
SHARE: Final = 0.5


async def civitai_offer(source: CivitaiSource, web: Web) -> Offer:
    """Ask for a version. Raises :class:`NotFetched`."""
    page, api = f"{web.site.base}/models/{source.model}", f"{web.site.base}/api/v1"
    model: Any = None
    version = source.version
    if source.model:
        model, _ = await web.json(f"{api}/models/{source.model}", page)
        version = str(model["modelVersions"][0]["id"])
    where = f"by-hash/{source.hash}" if source.hash else version
    details, _ = await web.json(f"{api}/model-versions/{where}", page if source.model else where)
    number = int(details["modelId"])
    page = f"{web.site.base}/models/{number}?modelVersionId={int(details['id'])}"
    if model is None:
        model, _ = await web.json(f"{api}/models/{number}", page)
    file = _file(details["files"], source.hash)
    # The key is for this address alone, whatever host the answer names.
    address = urlsplit(str(file.get("downloadUrl") or details["downloadUrl"]))
    url = f"{web.site.base}{address.path}" + (f"?{address.query}" if address.query else "")
    name = safe_name(str(file["name"]))
    size = file.get("sizeKB")
    return Offer(
        title=f"{details['model']['name']} {details['name']}",
        page=page,
        name=name,
        files=(RemoteFile(url, name + SUFFIX, _bytes(size), _sha256(file)),),
        base_model=str(details.get("baseModel") or ""),
        licence=_terms(model),
        triggers=tuple(map(str, details.get("trainedWords") or ())),
        advice=dict(_agreed(details.get("images") or ())),
    )


def _bytes(kilobytes: Any) -> int | None:
    """A size in bytes. Civitai gives it in KiB; where that is rounded, the size is unknown."""
    if not isinstance(kilobytes, int | float):
        return None
    count = round(kilobytes * 1024)
    return count if abs(kilobytes * 1024 - count) < 0.01 else None


def _sha256(file: dict[str, Any]) -> str:
    return str((file.get("hashes") or {}).get("SHA256") or "").lower()


def _file(files: Sequence[dict[str, Any]], digest: str) -> dict[str, Any]:
    """The file of this hash, else the one that the page gives, else the first."""
    if digest:
        for file in files:
            hashes = map(str.lower, map(str, (file.get("hashes") or {}).values()))
            if digest in hashes:
                files = [file]
                break
    models = [file for file in files if str(file["name"]).lower().endswith(SUFFIX)]
    if not models:
        pickles = [str(file["name"]) for file in files if is_pickle(str(file["name"]))]
        if pickles:
            raise pickle_refused(pickles[0])
        raise NotFetched(f"there is no {SUFFIX} file in this version")
    return next((file for file in models if file.get("primary")), models[0])


def _terms(model: dict[str, Any]) -> str:
    """What the maker allows, in a line."""
    if "allowCommercialUse" not in model:
        return ""
    use = model["allowCommercialUse"]
    uses = [use] if isinstance(use, str) else list(use or ())
    said = [
        f"commercial use: {', '.join(map(str, uses)) or 'None'}",
        "no credit needed" if model.get("allowNoCredit") else "credit needed",
        "merges allowed" if model.get("allowDerivatives") else "no merges",
    ]
    if not model.get("allowDifferentLicense"):
        said.append("merges keep these terms")
    return "; ".join(said)


def _agreed(images: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the options for which most of the version's example images have one value."""
    said: dict[str, Counter[Any]] = {}
    for image in images:
        meta = image.get("meta") if isinstance(image, dict) else None
        for key, value in meta.items() if isinstance(meta, dict) else ():
            name = ADVICE.get(re.sub(r"\W", "", str(key)).casefold())
            if name and (value := _valid(name, value)) is not None:
                said.setdefault(name, Counter())[value] += 1
    for name, counts in said.items():
        [(value, count)] = counts.most_common(1)
        if count >= AGREEING and count > SHARE * counts.total():
            yield name, value


def _valid(name: str, value: Any) -> Any:
    """A value as a card can have it, None for any other."""
    option = OPTIONS[name]
    try:
        value = option.type(value)
        if name == "sampler":
            split_sampler(value)
        else:
            option.check(value)
    except (TypeError, ValueError, PenultimateError):
        return None
    return value
