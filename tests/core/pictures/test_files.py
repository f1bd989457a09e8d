from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from core.errors import TooLarge, UnreadablePicture
from core.pictures import files, infotext
from core.pictures.importing import to_request_values
from core.pictures.reading import read
from core.pictures.resizing import finished_image, start_image
from core.request import Enlarge, GenerationRequest
from tests.jpeg import write_jpeg
from tests.strategies import requests

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)
TEXT = infotext.format(
    GenerationRequest("a café, 日本 🐈", "m", 5, negative_prompt="bad", clip_skip=2)
)


def jpeg(pixels: Image.Image | NDArray[np.uint8], text: str) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return write_jpeg(picture, text)


WRITERS: list[Callable[..., bytes]] = [files.write_png, jpeg, files.write_webp]

# Truncated EXIF makes Pillow warn and carry on with what is there.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def png(texts: dict[str, str], size: tuple[int, int] = (8, 8)) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    file = BytesIO()
    Image.new("RGB", size).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    )


def parameters(data: bytes) -> dict[str, Any]:
    text = files.read_infotext(data)
    assert text is not None
    return infotext.parse(text)


@pytest.mark.parametrize("write", WRITERS)
def test_the_text_comes_back_from_every_kind_of_file(write: Callable[..., bytes]) -> None:
    assert files.read_infotext(write(PIXELS, TEXT)) == TEXT
    long = f"a café only\n{TEXT}"
    assert files.read_infotext(write(Image.fromarray(PIXELS), long)) == long


def test_a_png_may_say_a_prompt_alone_but_a_comment_may_be_anything() -> None:
    assert files.read_infotext(files.write_png(PIXELS, "a café only")) == "a café only"
    for write in (jpeg, files.write_webp):
        assert files.read_infotext(write(Image.fromarray(PIXELS), "a café only")) is None


def test_png_keeps_every_pixel_and_says_the_text_as_a1111_does() -> None:
    data = files.write_png(PIXELS, "latin é")
    assert b"tEXtparameters\0latin \xe9" in data
    assert np.array_equal(np.asarray(files.read_pixels(data)), PIXELS)
    assert b"iTXtparameters\0" in files.write_png(PIXELS, TEXT)


def test_level_changes_the_size_alone() -> None:
    smooth = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 256, 3))
    fast, small = (files.write_png(smooth, "", level=level) for level in (1, 9))
    assert len(small) < len(fast)
    assert files.read_pixels(small) == files.read_pixels(fast)


@settings(max_examples=30)
@given(requests())
def test_every_request_survives_every_kind_of_file(request: GenerationRequest) -> None:
    text = infotext.format(request)
    for write in WRITERS:
        assert files.read_infotext(write(PIXELS, text)) == text


def test_a_webp_holds_a_text_longer_than_a_jpegs_segment() -> None:
    long = "a" * 40_000 + "\n" + TEXT
    assert files.read_infotext(files.write_webp(PIXELS, long)) == long


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + TEXT.encode("utf-16-le"),
        b"UNICODE\0" + TEXT.encode("utf-16-be"),
        b"ASCII\0\0\0" + TEXT.encode(),
        bytes(8) + TEXT.encode(),
    ],
    ids=["little", "big", "ascii", "undefined"],
)
def test_comments_of_other_writers(comment: bytes) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9286: comment}
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    assert files.read_infotext(file.getvalue()) == TEXT


def test_text_behind_the_pixels_is_found() -> None:
    data = png({})
    end = data.index(b"IEND") - 4
    data = data[:end] + chunk(b"tEXt", b"parameters\0" + b"a\nSteps: 1") + data[end:]
    assert files.read_infotext(data) == "a\nSteps: 1"


def test_a_plain_photograph_has_no_parameters() -> None:
    assert files.read_infotext(png({})) is None
    assert files.read_infotext(png({"Title": "a cat", "parameters": '{"sui": {}}'})) is None


COMFY_NODES = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 42,
            "steps": 25,
            "cfg": 6.5,
            "sampler_name": "dpmpp_2m",
            "scheduler": "karras",
            "denoise": 1.0,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd/v1-5.safetensors"}},
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": 768, "batch_size": 1},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["9", 0]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["9", 0]}},
    "9": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["4", 1]}},
}
COMFY_LINKS = [
    [1, 4, 0, 3, 0, "MODEL"],
    [2, 6, 0, 3, 1, "CONDITIONING"],
    [3, 7, 0, 3, 2, "CONDITIONING"],
    [4, 5, 0, 3, 3, "LATENT"],
    [5, 9, 0, 6, 0, "CLIP"],
    [6, 9, 0, 7, 0, "CLIP"],
    [7, 4, 1, 9, 0, "CLIP"],
]
FOREIGN = {
    "ComfyUI": {
        "prompt": json.dumps(COMFY_NODES),
        "workflow": json.dumps({"links": COMFY_LINKS}),
    },
    "InvokeAI": {
        "invokeai_metadata": json.dumps(
            {
                "positive_prompt": "a cat",
                "negative_prompt": "bad",
                "seed": 42,
                "steps": 25,
                "cfg_scale": 6.5,
                "scheduler": "dpmpp_2m_k",
                "clip_skip": 1,
                "width": 512,
                "height": 768,
                "model": {"model_name": "v1-5"},
            }
        )
    },
    "NovelAI": {
        "Description": "a cat",
        "Software": "NovelAI",
        "Source": "Stable Diffusion 81274D13",
        "Comment": json.dumps(
            {
                "steps": 25,
                "sampler": "k_dpmpp_2m",
                "seed": 42,
                "scale": 6.5,
                "uc": "bad",
                "width": 512,
                "height": 768,
            }
        ),
    },
    "Fooocus": {
        "parameters": json.dumps(
            {
                "base_model": "v1-5",
                "base_model_hash": "e1441589a6",
                "prompt": "a cat",
                "negative_prompt": "bad",
                "sampler": "dpmpp_2m_sde_gpu",
                "scheduler": "karras",
                "seed": "42",
                "steps": 25,
                "guidance_scale": 6.5,
                "clip_skip": 2,
                "resolution": "(512, 768)",
                "vae": "Default (model)",
            }
        )
    },
}


@pytest.mark.parametrize("program", FOREIGN)
def test_other_programs_pictures_are_translated(program: str) -> None:
    parsed = parameters(png(FOREIGN[program]))
    values, _ = to_request_values(parsed)
    assert parsed["Version"] == program
    assert values["prompt"] == "a cat"
    assert values["negative_prompt"] == "bad"
    assert (values["seed"], values["steps"], values["cfg_scale"]) == (42, 25, 6.5)
    assert (values["width"], values["height"]) == (512, 768)
    assert values["clip_skip"] == 2
    assert values["sampler"].startswith("DPM++ 2M")
    assert "vae" not in values
    if program != "NovelAI":
        assert values["model"] == "v1-5"
        assert values["schedule_type"] == "Karras"


def test_novelai_draws_on_from_another_seed() -> None:
    values, notes = to_request_values(parameters(png(FOREIGN["NovelAI"])))
    assert (values["eta_noise_seed_delta"], values["noise_source"]) == (31337, "GPU")
    assert notes == ()


@pytest.mark.parametrize("program", ["ComfyUI", "InvokeAI", "Fooocus"])
def test_noise_of_other_programs_is_drawn_on_the_cpu(program: str) -> None:
    found = read(files.read_infotext(png(FOREIGN[program])) or "")
    assert found.values["noise_source"] == "CPU"
    assert found.left_out == ()
    keys = [note.key for note in found.remarks if note.key != "only_information"]
    assert keys == [f"from_{program.lower()}"]


@pytest.mark.parametrize("body", ["[]", "3", "null", '{"image": []}', "{" * 5000, '{"a":' * 5000])
@pytest.mark.parametrize("key", ["prompt", "sd-metadata", "invokeai_metadata", "Dream", "Comment"])
def test_foreign_metadata_of_another_shape_is_nobodys(key: str, body: str) -> None:
    texts = {"workflow": body, "Description": body, "Source": body, key: body}
    assert files.read_infotext(png(texts)) is None


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"hello", b"<svg/>", b"RIFF0000WAVE"])
def test_other_files_are_no_pictures(data: bytes) -> None:
    with pytest.raises(UnreadablePicture, match="not a PNG, JPEG or WebP"):
        files.read_infotext(data)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_cut_file_is_damaged(write: Callable[..., bytes], part: float) -> None:
    data = write(PIXELS, "")
    with pytest.raises(UnreadablePicture, match="damaged"):
        files.read_pixels(data[: int(len(data) * part)])


def test_a_cut_png_still_tells_its_parameters() -> None:
    data = files.write_png(PIXELS, TEXT)
    assert files.read_infotext(data[: len(data) - 200]) == TEXT


def test_a_bomb_is_refused_by_its_size_before_it_is_decoded() -> None:
    bomb = header(20_000, 20_000) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    with pytest.raises(UnreadablePicture, match=r"too large \(20000×20000 px\)"):
        files.read_pixels(bomb)
    told = header(20_000, 20_000) + chunk(b"tEXt", b"parameters\0a cat") + bomb[33:]
    assert files.read_infotext(told) == "a cat"


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("alpha", ["RGB", "RGBA"])
def test_a_webp_is_measured_before_it_is_opened(
    monkeypatch: pytest.MonkeyPatch, alpha: str, lossless: bool
) -> None:
    file = BytesIO()
    Image.new(alpha, (30, 20)).save(file, "WEBP", lossless=lossless)
    monkeypatch.setattr(files, "MAX_PIXELS", 600)
    assert files.read_pixels(file.getvalue()).size == (30, 20)
    monkeypatch.setattr(files, "MAX_PIXELS", 599)
    with pytest.raises(UnreadablePicture, match="30×20 px"):
        files.read_infotext(file.getvalue())


def test_a_text_bomb_is_too_long() -> None:
    packed = zlib.compress(bytes(5_000_000), 9)
    bomb = header(8, 8) + chunk(b"zTXt", b"parameters\0\0" + packed) + png({})[33:]
    with pytest.raises(UnreadablePicture, match="too long"):
        files.read_infotext(bomb)
    assert files.read_pixels(bomb).size == (8, 8)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(UnreadablePicture, match="too large"):
        files.read_pixels(bytes(files.MAX_BYTES + 1))


def test_pixels_are_made_plain() -> None:
    file = BytesIO()
    Image.new("CMYK", (8, 4)).save(file, "JPEG", exif=_sideways())
    upright = files.read_pixels(file.getvalue())
    assert (upright.mode, upright.size) == ("RGB", (4, 8))

    file = BytesIO()
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(file, "PNG")
    assert files.read_pixels(file.getvalue()).getpixel((0, 0)) == (255, 255, 255)

    file = BytesIO()
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert files.read_pixels(file.getvalue()).getpixel((0, 0)) == (255, 0, 0)


def _sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@settings(max_examples=300)
@given(st.data())
def test_damage_anywhere_is_nothing_worse_than_unreadable(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from([write(PIXELS, TEXT) for write in WRITERS])))
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(file) - 1), st.integers(0, 255)), max_size=8)
    ):
        file[at] = value
    cut = data.draw(st.integers(0, len(file)))
    for damaged in (bytes(file), bytes(file[:cut])):
        for door in (files.read_infotext, files.read_pixels, start_image, _enlarged):
            with suppress(UnreadablePicture, TooLarge):
                door(damaged)


def _enlarged(data: bytes) -> object:
    return finished_image(data, Enlarge())
