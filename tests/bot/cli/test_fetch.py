"""``python run.py fetch`` against both sites, played by a local server with a network's faults."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import format_datetime, localtime
from pathlib import Path

import pytest

from bot.cli import fetch
from bot.fetching import offers, placing
from bot.fetching.offers import SUFFIX, safe_name
from bot.fetching.sources import CivitaiSource, HubSource, NotFetched, read_source
from bot.fetching.web import CIVITAI, HUB, PartFile
from bot.settings import ROOT, Settings
from core.models.cards import read_card
from tests.core.models.test_addons import lora
from tests.core.models.test_catalogue import Shapes, write
from tests.small_sites import KEY, SmallSites, small_sites
from tests.tiny_models import tiny_model, tiny_vae
from tools import rooms

Fetch = Callable[..., tuple[int, str, str]]
LONG = 5_000_000


@pytest.fixture
def sites() -> Iterator[SmallSites]:
    with small_sites() as sites:
        yield sites


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def run_fetch(
    settings: Settings,
    sites: SmallSites,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Fetch:
    """``run_fetch(source, …)`` → (exit code, stdout, stderr)."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetch, "SPARE", 0)

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    played = fetch.Sites(
        replace(HUB, base=sites.address), replace(CIVITAI, base=sites.address), wait
    )

    def run_fetch(source: str, *, yes: bool = True, key: str | None = KEY) -> tuple[int, str, str]:
        owner = replace(settings, hf_token=key, civitai_token=key)
        code = fetch.main(owner, source, yes=yes, sites=played)
        said = capsys.readouterr()
        assert KEY not in said.out + said.err
        return code, said.out, said.err

    return run_fetch


def weights(tmp_path: Path, shapes: Shapes | None = None, size: int = 0) -> bytes:
    """A file of weights, longer than its tensors where ``size`` is more."""
    path = tmp_path / "made.safetensors"
    write(path, shapes or lora())
    return path.read_bytes().ljust(size, b"\1")


# --- what a source means --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("owner/name", HubSource("owner/name")),
        ("hf:owner/name", HubSource("owner/name")),
        ("owner/na-me.v1@fp16", HubSource("owner/na-me.v1", "", "fp16")),
        ("owner/name/sub/a.safetensors", HubSource("owner/name", "sub/a.safetensors")),
        ("https://huggingface.co/owner/name", HubSource("owner/name")),
        (
            "https://huggingface.co/owner/name/resolve/v1/a%20b.safetensors?download=true",
            HubSource("owner/name", "a b.safetensors", "v1"),
        ),
        ("https://hf.co/owner/name/tree/main/vae", HubSource("owner/name", "vae")),
        ("urn:air:sd1:lora:huggingface:owner/name", HubSource("owner/name")),
        ("2514310", CivitaiSource(version="2514310")),
        ("urn:air:sdxl:checkpoint:civitai:827184@2514310", CivitaiSource(version="2514310")),
        ("air:sd1:lora:civitai:11@22.safetensors", CivitaiSource(version="22")),
        ("civitai:827184", CivitaiSource(model="827184")),
        ("https://civitai.com/models/11/ink?modelVersionId=22", CivitaiSource(version="22")),
        ("https://civitai.com/models/11/ink", CivitaiSource(model="11")),
        ("https://civitai.com/api/download/models/22?type=Model", CivitaiSource(version="22")),
        ("6CE0161689", CivitaiSource(hash="6ce0161689")),
        ("1234567890", CivitaiSource(hash="1234567890")),
        ("12345678", CivitaiSource(version="12345678")),
        ("ab" * 32, CivitaiSource(hash="ab" * 32)),
    ],
)
def test_a_source_is_read(text: str, source: object) -> None:
    assert read_source(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "owner/name/../../etc",
        "https://example.com/a.safetensors",
        "https://civitai.com/images/5?token=hidden",
        "file:///etc/passwd",
    ],
)
def test_a_source_that_is_none_is_a_sentence(text: str) -> None:
    with pytest.raises(NotFetched) as caught:
        read_source(text)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../evil.safetensors", "evil"),
        ("..\\..\\evil.safetensors", "evil"),
        ("/etc/passwd", "passwd"),
        (".hidden.safetensors", "hidden"),
        ("..", "_"),
        ("CON.safetensors", "_CON"),
        ("a\nb\x1b[31m.safetensors", "a_b_[31m"),
        ("ink v2 (final).safetensors", "ink v2 (final)"),
    ],
)
def test_a_strangers_name_is_one_name_in_the_folder(given: str, name: str) -> None:
    assert safe_name(given) == name


# --- Civitai --------------------------------------------------------------------------------------


def test_a_version_is_shown_fetched_and_put_where_it_belongs(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    data = weights(tmp_path)
    # It says it is a checkpoint; its header says LoRA.
    sites.civitai(
        {"ink.safetensors": data},
        kind="Checkpoint",
        allowCommercialUse=["Image", "Rent"],
        allowDerivatives=True,
    )
    code, out, err = run_fetch("22")
    target = settings.loras_dir / "ink.safetensors"
    assert (code, err) == (0, "")
    assert target.read_bytes() == data
    assert sorted(path.name for path in settings.loras_dir.iterdir()) == ["ink.safetensors"]
    for line in (
        "Ink v2",
        f"  page: {sites.address}/models/11?modelVersionId=22",
        "  kind: LoRA",
        "  base model: SD 1.5",
        "  licence: commercial use: Image, Rent; credit needed; merges allowed; merges keep these "
        "terms",
        "  trigger words: ink, wash",
        f"  goes to: {target}",
    ):
        assert line in out.splitlines()
    assert out.splitlines()[-1] == str(target)


def test_the_key_goes_to_its_site_alone(
    run_fetch: Fetch, sites: SmallSites, tmp_path: Path
) -> None:
    sites.civitai({"ink.safetensors": weights(tmp_path)})
    assert run_fetch("22")[0] == 0
    keys: dict[str, set[str]] = {}
    for kind, _, _, key in sites.seen:
        keys.setdefault(kind, set()).add(key)
    assert keys == {"json": {f"Bearer {KEY}"}, "file": {f"Bearer {KEY}"}, "store": {""}}


def test_hashes_models_and_pages_are_sources(
    run_fetch: Fetch, sites: SmallSites, tmp_path: Path, settings: Settings
) -> None:
    first, second = weights(tmp_path), weights(tmp_path, lora(1024))
    sites.civitai({"a.safetensors": first, "b.safetensors": second})
    digest = hashlib.sha256(second).hexdigest()
    assert run_fetch(digest[:10].upper() if not digest[:10].isdecimal() else digest)[0] == 0
    assert (settings.loras_dir / "b.safetensors").read_bytes() == second
    assert run_fetch(hashlib.sha256(first).hexdigest())[0] == 0
    assert (settings.loras_dir / "a.safetensors").read_bytes() == first
    # Found before it is fetched again.
    for source in ("civitai:11", "https://civitai.com/models/11/ink"):
        code, out, _ = run_fetch(source)
        assert (code, out.splitlines()[-1]) == (
            0,
            f"{settings.loras_dir / 'a.safetensors'} is there already.",
        )


def test_a_checkpoint_gets_a_card_of_what_its_images_agree_on(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    path = tiny_model(tmp_path, layout="file").path
    image = {"clipSkip": 2, "sampler": "DPM++ 2M Karras", "steps": "many", "cfgScale": 7}
    other = {"clipSkip": 1, "cfgScale": 99, "prompt": "x"}
    sites.civitai(
        {"ink.safetensors": path.read_bytes()},
        kind="Checkpoint",
        images=(image, image, image, other),
    )
    assert run_fetch("22")[0] == 0
    card, warnings = read_card(settings.models_dir / "ink.safetensors")
    assert warnings == ()
    assert card.values == {"clip_skip": 2, "sampler": "DPM++ 2M Karras", "cfg_scale": 7}
    assert "modelVersionId=22" in card.description
    assert "Trigger words: ink, wash" in card.description
    assert settings.catalogue().models[0].name == "ink"


def test_a_card_that_is_there_stays(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    sites.civitai({"v.safetensors": tiny_vae(tmp_path).path.read_bytes()}, kind="VAE")
    settings.vaes_dir.mkdir(parents=True)
    card = settings.vaes_dir / "v.toml"
    card.write_text('name = "Mine"\n')
    assert run_fetch("22")[0] == 0
    assert card.read_text() == 'name = "Mine"\n'


def test_a_name_of_civitais_never_leaves_the_folder(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    sites.disposition = 'attachment; filename="../../worse.safetensors"'
    sites.civitai({"../../evil.safetensors": weights(tmp_path)})
    assert run_fetch("22")[0] == 0
    assert [path.name for path in settings.loras_dir.iterdir()] == ["evil.safetensors"]
    assert [path for path in tmp_path.rglob("*") if "worse" in path.name] == []


# --- Hugging Face ---------------------------------------------------------------------------------


def test_a_file_of_a_repository(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    data = weights(tmp_path)
    files = {"README.md": b"hi", "pytorch_lora_weights.safetensors": data}
    sites.hub("ann/ink", files, license="mit", base_model="sd-1.5", instance_prompt="ink style")
    code, out, _ = run_fetch("ann/ink")
    assert code == 0
    # A name that says nothing is the repository's instead.
    assert (settings.loras_dir / "ink.safetensors").read_bytes() == data
    assert "  licence: mit" in out
    assert "  trigger words: ink style" in out


def test_of_several_files_one_must_be_named(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    sites.hub("ann/ink", {"a.safetensors": weights(tmp_path), "b.safetensors": b"x"})
    code, _, err = run_fetch("ann/ink")
    assert code == 2
    assert "say which one, as ann/ink/NAME: a.safetensors, b.safetensors" in err
    assert run_fetch("ann/ink/a.safetensors")[0] == 0
    assert run_fetch("ann/ink/lost")[2] == "Ann/ink has no lost.\n"


def test_of_a_diffusers_folder_only_what_is_needed_is_fetched(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    folder = tiny_model(tmp_path).path
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "card.toml"
    }
    needed = dict(files)
    for path in [path for path in files if path.endswith(SUFFIX)]:
        half = path.removesuffix(SUFFIX) + ".fp16" + SUFFIX
        needed[half] = needed.pop(path)
        files |= {half: files[path], path.removesuffix(SUFFIX) + ".bin": b"pickle"}
    files |= {"safety_checker/model.safetensors": b"x", "all-in-one.ckpt": b"x", "a.png": b"x"}
    sites.hub("ann/tiny-sd", files, license="other", license_name="tiny-licence")
    # A long list comes in pages.
    [where] = [path for path in sites.json if "/tree/" in path]
    entries = sites.json[where]
    sites.json[where], sites.json["/rest"] = entries[:5], entries[5:]
    sites.next[where] = f"{sites.other}/rest"
    code, out, err = run_fetch("ann/tiny-sd")
    assert (code, err) == (0, "")
    assert {key for _, where, _, key in sites.seen if where == "/rest"} == {""}
    target = settings.models_dir / "tiny-sd"
    found = {
        path.relative_to(target).as_posix(): path for path in target.rglob("*") if path.is_file()
    }
    assert found.pop("card.toml").read_text().splitlines()[-1] == 'licence = "tiny-licence"'
    assert {name: path.read_bytes() for name, path in found.items()} == needed
    assert f"{len(needed)} files" in out
    assert settings.catalogue().models[0].name == "tiny-sd"
    code, _, err = run_fetch("ann/tiny-sd")
    assert (code, err) == (
        2,
        f"There is another tiny-sd in {settings.models_dir}; move it away first.\n",
    )


def test_a_vaes_folder_and_a_folder_in_a_repository(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    folder = tiny_model(tmp_path).path / "vae"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    sites.hub("ann/vae", files | {"same.safetensors": b"x"})
    sites.hub("ann/all", {f"vae/{name}": data for name, data in files.items()} | {"a.txt": b""})
    for source, name in (("ann/vae", "vae"), ("ann/all/vae", "all-vae")):
        assert run_fetch(source)[0] == 0
        assert {path.name for path in (settings.vaes_dir / name).iterdir()} == {*files, "card.toml"}


@pytest.mark.parametrize(
    ("repository", "files", "sentence"),
    [
        ("ann/old", {"model.ckpt": b"x"}, "python run.py convert"),
        ("ann/old/model.ckpt", {"model.ckpt": b"x"}, "is a pickle"),
        (
            "ann/dir",
            {"model_index.json": b"{}", "unet/model.bin": b"x"},
            "unet/model.bin is a pickle",
        ),
        ("ann/clip", {"config.json": b"{}", "model.safetensors": b"x"}, "does not scale by 8"),
        ("ann/words", {"README.md": b"x"}, "there is no .safetensors file"),
        ("ann/sd3", {"model_index.json": b'{"_class_name": "StableDiffusion3Pipeline"}'}, "SD3"),
    ],
)
def test_what_cannot_be_used_is_not_fetched(
    run_fetch: Fetch, sites: SmallSites, repository: str, files: dict[str, bytes], sentence: str
) -> None:
    sites.hub("/".join(repository.split("/")[:2]), files)
    code, _, err = run_fetch(repository)
    assert code == 2
    sentence = "Stable Diffusion 3" if sentence == "SD3" else sentence
    assert sentence.casefold() in err.casefold()
    assert len(err.splitlines()) == 1
    assert [where for where in sites.downloads() if where.endswith("-")] == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"PK\x03\x04" + bytes(100), "is a pickle, which can run code"),
        (b"<html>" + bytes(100), "it is a web page"),
        ({"double_blocks.0.img_attn.qkv.weight": (8, 8)}, "is Flux"),
        ({"control_model.input_blocks.0.weight": (8, 8)}, "of the kind ControlNet"),
        ({"something.weight": (8, 8)}, "of an unknown kind"),
    ],
)
def test_a_header_is_looked_at_before_the_file_is_fetched(
    run_fetch: Fetch,
    sites: SmallSites,
    settings: Settings,
    tmp_path: Path,
    data: bytes | Shapes,
    sentence: str,
) -> None:
    sites.civitai({"x.safetensors": data if isinstance(data, bytes) else weights(tmp_path, data)})
    code, _, err = run_fetch("22")
    assert code == 2
    assert sentence in err
    assert not any(re.fullmatch(r"(bytes=\d+-)?", ranged) for ranged in sites.downloads())
    assert not settings.data_dir.exists()


# --- a network's faults ---------------------------------------------------------------------------


def test_a_download_that_is_cut_off_goes_on(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path, waits: list[float]
) -> None:
    data = weights(tmp_path, size=LONG)
    sites.hub("ann/ink", {"ink.safetensors": data})
    sites.cut = [2_000_000, 1_000_000, 0]
    assert run_fetch("ann/ink")[0] == 0
    assert (settings.loras_dir / "ink.safetensors").read_bytes() == data
    [first, second, third, last] = sites.downloads("resolve")[1:]
    assert first == ""
    assert second != third == last == "bytes=3000000-"
    assert len(waits) == 3


def test_one_that_is_cut_off_for_good_goes_on_another_time(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    data = weights(tmp_path, size=LONG)
    sites.hub("ann/ink", {"ink.safetensors": data})
    sites.cut = [2_000_000, 0, 0, 0, 0, 0]
    code, _, err = run_fetch("ann/ink")
    assert code == 2
    assert "run the same command later, it goes on from there" in err
    [part] = settings.loras_dir.iterdir()
    assert part.stat().st_size == 2_000_000
    assert settings.catalogue().networks.names == ("demo-ink",)
    sites.seen.clear()
    assert run_fetch("ann/ink")[0] == 0
    assert sites.downloads("resolve")[1:] == ["bytes=2000000-"]
    assert (settings.loras_dir / "ink.safetensors").read_bytes() == data


def test_a_server_without_ranges_begins_again(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    data = weights(tmp_path, size=LONG)
    sites.hub("ann/ink", {"ink.safetensors": data})
    sites.ranges, sites.cut = False, []
    (settings.loras_dir).mkdir(parents=True)
    (settings.loras_dir / ".ink.safetensors.part").write_bytes(b"of something else")
    assert run_fetch("ann/ink")[0] == 0
    assert (settings.loras_dir / "ink.safetensors").read_bytes() == data


def test_a_wrong_hash_is_told_and_nothing_is_kept(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    sites.hashes["ink.safetensors"] = "0" * 64
    sites.hub("ann/ink", {"ink.safetensors": weights(tmp_path)})
    code, _, err = run_fetch("ann/ink")
    assert code == 2
    assert "arrived with another SHA-256 than 127.0.0.1 announces" in err
    assert [path.stat().st_size for path in settings.loras_dir.iterdir()] == [0]


@pytest.mark.parametrize("by", [1, 3_000_000])
def test_a_file_that_is_larger_than_announced_is_stopped(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path, by: int
) -> None:
    data = weights(tmp_path, size=LONG)
    sites.sizes["ink.safetensors"] = LONG - by
    sites.hub("ann/ink", {"ink.safetensors": data})
    code, _, err = run_fetch("ann/ink")
    assert code == 2
    assert "is larger than announced" in err
    assert [path.stat().st_size for path in settings.loras_dir.iterdir()] == [0]


def test_a_file_that_is_smaller_than_announced_ends(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    sites.sizes["ink.safetensors"] = LONG + 1
    sites.hub("ann/ink", {"ink.safetensors": weights(tmp_path, size=LONG)})
    code, _, err = run_fetch("ann/ink")
    assert code == 2
    assert "is cut off again and again" in err


def test_a_full_disk_is_a_sentence_and_what_is_there_stays(
    run_fetch: Fetch,
    sites: SmallSites,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = weights(tmp_path, size=LONG)
    sites.hub("ann/ink", {"ink.safetensors": data})
    append = PartFile.append

    def full(part: PartFile, piece: bytes) -> None:
        if part.size > 1_000_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(part, piece)

    with monkeypatch.context() as patched:
        patched.setattr(PartFile, "append", full)
        code, _, err = run_fetch("ann/ink")
    assert code == 2
    assert "No space left on device" in err
    assert len(err.splitlines()) == 1
    [part] = settings.loras_dir.iterdir()
    assert part.stat().st_size > 1_000_000
    assert run_fetch("ann/ink")[0] == 0


def test_too_little_room_is_told_before_the_question(
    run_fetch: Fetch, sites: SmallSites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites.hub("ann/ink", {"ink.safetensors": weights(tmp_path)})
    monkeypatch.setattr(fetch, "SPARE", 2**60)
    code, _, err = run_fetch("ann/ink", yes=False)
    assert code == 2
    assert "GB free" in err


@pytest.mark.parametrize(
    ("status", "headers", "key", "sentence"),
    [
        (
            401,
            {},
            None,
            "make one on https://huggingface.co/settings/tokens and write it into .env",
        ),
        (401, {"X-Error-Code": "GatedRepo"}, None, "to accept its terms as well"),
        (
            403,
            {"X-Error-Code": "GatedRepo"},
            KEY,
            "does not give this to the key in HF_TOKEN; open",
        ),
        (401, {"X-Error-Code": "RepoNotFound"}, None, "no such repository, or a private one"),
        (404, {}, None, "Hugging Face has nothing there"),
        (451, {}, None, "refused it (451)"),
        (429, {"Retry-After": "900"}, None, "try again in 15 minutes"),
    ],
)
@pytest.mark.parametrize("part", ["/api/models", "/resolve/"])
def test_what_a_site_refuses_is_a_sentence(
    run_fetch: Fetch,
    sites: SmallSites,
    tmp_path: Path,
    part: str,
    status: int,
    headers: dict[str, str],
    key: str | None,
    sentence: str,
) -> None:
    sites.hub("ann/ink", {"ink.safetensors": weights(tmp_path)})
    sites.statuses[part] = [(status, headers)]
    code, _, err = run_fetch("ann/ink", key=key)
    assert code == 2
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_a_page_to_log_in_is_no_file(run_fetch: Fetch, sites: SmallSites, tmp_path: Path) -> None:
    sites.civitai({"ink.safetensors": weights(tmp_path)})
    sites.login = True
    code, _, err = run_fetch("22", key=None)
    assert code == 2
    assert (
        "gives this only to those with a key; make one on https://civitai.com/user/account" in err
    )


def test_a_header_longer_than_the_first_look_is_read_whole(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    path = write(tmp_path / "made.safetensors", lora(), {"about": "x" * 2**20})
    sites.hub("ann/ink", {"ink.safetensors": path.read_bytes()})
    assert run_fetch("ann/ink")[0] == 0
    assert len(sites.downloads("resolve")) == 3


def test_a_size_that_civitai_rounded_is_unknown(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    data = weights(tmp_path)
    sites.civitai({"ink.safetensors": data})
    sites.json["/api/v1/model-versions/22"]["files"][0]["sizeKB"] = len(data) / 1024 - 0.00037
    code, out, _ = run_fetch("22")
    assert code == 0
    assert "  size: unknown" in out
    assert (settings.loras_dir / "ink.safetensors").read_bytes() == data


def test_a_busy_site_is_asked_again(
    run_fetch: Fetch, sites: SmallSites, tmp_path: Path, waits: list[float]
) -> None:
    sites.civitai({"ink.safetensors": weights(tmp_path)})
    soon = format_datetime(localtime())
    sites.statuses["/model-versions/"] = [(429, {"Retry-After": "7"}), (503, {})]
    sites.statuses["/download/"] = [(502, {}), (429, {"Retry-After": soon})]
    assert run_fetch("22")[0] == 0
    assert waits == [7, 2, 1, 2]


def test_a_site_that_stays_down_or_is_away_is_told(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    sites.statuses["/"] = [(500, {})] * 9
    assert run_fetch("22")[2] == "127.0.0.1 is busy (it answered 500); try again later.\n"

    async def at_once(_: float) -> None:
        return

    away = fetch.Sites(civitai=replace(CIVITAI, base="http://127.0.0.1:9"), wait=at_once)
    assert fetch.main(settings, "22", yes=True, sites=away) == 2
    assert "cannot be reached; check the network" in capsys.readouterr().err


def test_an_answer_of_another_shape_is_told(run_fetch: Fetch, sites: SmallSites) -> None:
    sites.json["/api/v1/model-versions/22"] = ["?"]
    assert run_fetch("22")[2] == "Civitai answered something that is not understood.\n"
    sites.files["/api/v1/model-versions/23"] = b"not json"
    assert run_fetch("23")[2] == "127.0.0.1 did not answer with JSON.\n"


# --- the question, and who may download -----------------------------------------------------------


@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("Yes ", 0), ("", 2), ("n", 2), (None, 2)])
def test_it_asks(
    run_fetch: Fetch,
    sites: SmallSites,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str | None,
    code: int,
) -> None:
    def answers(_: str) -> str:
        if typed is None:
            raise EOFError
        return typed

    monkeypatch.setattr("builtins.input", answers)
    sites.hub("ann/ink", {"ink.safetensors": weights(tmp_path)})
    assert run_fetch("ann/ink", yes=False)[0] == code
    assert [path.name for path in settings.loras_dir.iterdir()] == ["ink.safetensors"] * (not code)


def test_another_file_of_that_name_stays(
    run_fetch: Fetch, sites: SmallSites, settings: Settings, tmp_path: Path
) -> None:
    settings.loras_dir.mkdir(parents=True)
    (settings.loras_dir / "ink.safetensors").write_bytes(b"mine")
    sites.hub("ann/ink", {"ink.safetensors": weights(tmp_path)})
    code, _, err = run_fetch("ann/ink")
    assert (code, (settings.loras_dir / "ink.safetensors").read_bytes()) == (2, b"mine")
    assert "move it away first" in err


def test_ctrl_c_ends_it_quietly(
    run_fetch: Fetch, sites: SmallSites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "_download", stops)
    sites.hub("ann/ink", {"ink.safetensors": weights(tmp_path)})
    assert run_fetch("ann/ink")[0] == 130


def test_only_this_command_downloads() -> None:
    graph = rooms.imports()
    users = {module for module, others in graph.items() if "bot.fetching.web" in others}
    assert users == {"bot.cli.fetch", "bot.fetching.civitai", "bot.fetching.hub"}
    users = {
        module
        for module, others in graph.items()
        if any(other.startswith("bot.fetching") for other in others)
        and not module.startswith("bot.fetching")
    }
    assert users == {"bot.cli.fetch"}
    assert {module for module, others in graph.items() if "bot.cli.fetch" in others} == {"run"}
    clients = {
        path.relative_to(ROOT).as_posix()
        for path in rooms.files().values()
        if "ClientSession" in path.read_text("utf-8")
    }
    # The third fetches what a member attached, from Discord; the last counts Discord's answers.
    others = {"bot/ordering/attachments.py", "bot/watch/tally.py"}
    assert clients == {"bot/cli/fetch.py", "bot/fetching/web.py", *others}


def test_the_folders_are_those_of_the_settings(settings: Settings) -> None:
    folders = {kind: placing.folder_for(kind, settings).name for kind in placing.CHECKS}
    assert folders == {
        "model": "models",
        "VAE": "vaes",
        "LoRA": "loras",
        "embedding": "embeddings",
        "upscaler": "upscalers",
    }
    assert offers.is_pickle("A.CKPT")
