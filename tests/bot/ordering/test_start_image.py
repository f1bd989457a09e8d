"""img2img from /imagine: a start image's size, its strength, and every file that is no use."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from core.variations import shaped
from tests.bot.ordering.test_attachments import bomb
from tests.simulation import World, answer, text


def picture(width: int = 300, height: int = 200, kind: str = "PNG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, kind)
    return file.getvalue()


def animated() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


async def imagine(world: World, data: bytes, **options: Any) -> Any:
    given = {"prompt": "x", "start_image": ("start.png", data)} | options
    return answer(await world.ann.slash(world.channel, "imagine", **given))


async def test_a_start_image_gives_its_shape_at_the_models_area(world: World) -> None:
    post = await imagine(world, picture(300, 200), denoising_strength=0.4)
    assert "start image, denoising 0.4" in text(post)
    request = (await world.job(1)).request
    assert request.init_image is not None
    assert request.denoising_strength == 0.4
    assert (request.width, request.height) == (624, 416)
    with Image.open(io.BytesIO(request.init_image)) as kept:
        assert (kept.format, kept.size) == ("PNG", (300, 200))


@pytest.mark.parametrize("where", ["option", "preset", "pasted"])
async def test_a_size_that_somebody_said_is_kept(world: World, where: str) -> None:
    await world.bot.store.presets.save(world.ann.id, "wide", {"size": "640x320"})
    said: dict[str, dict[str, str]] = {
        "option": {"size": "640x320"},
        "preset": {"preset": "wide"},
        "pasted": {"prompt": "x\nSteps: 20, Sampler: Euler, CFG scale: 7, Size: 640x320"},
    }
    await imagine(world, picture(), **said[where])
    request = (await world.job(1)).request
    assert (request.width, request.height) == (640, 320)


async def test_ones_usual_size_gives_way_to_the_pictures_shape(world: World) -> None:
    await world.bot.store.presets.save(world.ann.id, "default", {"size": "256x256"})
    await imagine(world, picture(200, 200))
    request = (await world.job(1)).request
    assert (request.width, request.height) == (256, 256)
    await imagine(world, picture(400, 100))
    request = (await world.job(2)).request
    assert (request.width, request.height) == (512, 128)


async def test_without_a_strength_it_is_a1111s(world: World) -> None:
    await imagine(world, picture())
    assert (await world.job(1)).request.denoising_strength == 0.75


async def test_a_strength_without_a_start_image_is_remarked_on(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="x", denoising_strength=0.4)
    assert "only has an effect with a start image" in text(answer(result))


async def test_variations_keep_the_start_image(world: World) -> None:
    post = await imagine(world, picture(), denoising_strength=0.4)
    kept = (await world.job(1)).request.init_image
    for label in ("Clip skip +", "New seed"):
        assert "start image" in text(answer(await world.bob.click(post, label=label)))
    panel = answer(await world.bob.click(post, label="More…"))
    for label in ("Upscale ×1.5", "Vary (Subtle)", "Compare clip skips"):
        await world.bob.click(panel, label=label)
    for job_id in range(2, 7):
        request = (await world.job(job_id)).request
        assert (request.init_image, request.denoising_strength) == (kept, 0.4)


async def test_a_restart_keeps_it_too(world: World) -> None:
    world.engine.hold()
    await imagine(world, picture())
    first = (await world.engine.started(1)).request
    await world.restart(kill=True)
    assert world.engine.seen[0].request == first
    assert first.init_image


async def test_only_the_first_frame_is_used_and_that_is_said(world: World) -> None:
    assert "Only the first frame" in text(await imagine(world, animated()))


async def test_a_cmyk_jpeg_is_taken(world: World) -> None:
    await imagine(world, picture(64, 64, "JPEG", "CMYK"))
    assert (await world.job(1)).request.init_image


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"GIF89a not a picture", "can’t read that file as an image"),
        (b"", "can’t read that file as an image"),
        (picture()[:100], "damaged"),
        (bomb(20_000, 20_000), "too large"),
    ],
)
async def test_what_is_no_picture_is_answered(world: World, data: bytes, sentence: str) -> None:
    for command in ("imagine", "explore"):
        result = answer(
            await world.ann.slash(
                world.channel, command, prompt="x", start_image=("start.png", data)
            )
        )
        assert sentence in text(result)
        assert result.ephemeral
    assert world.env.errors
    assert world.engine.seen == []
    assert await world.bot.store.jobs.unfinished() == []


@pytest.mark.parametrize(
    ("size", "area", "most", "expected"),
    [
        ((300, 200), 512 * 512, 1536, (624, 416)),
        ((1, 1), 512 * 512, 1536, (512, 512)),
        ((10_000, 10), 512 * 512, 1536, (1536, 64)),
        ((10, 10_000), 512 * 512, 1001, (64, 1000)),
        ((1024, 1024), 1024 * 1024, 768, (768, 768)),
    ],
)
def test_shapes_are_sizes_that_can_be_drawn(
    size: tuple[int, int], area: int, most: int, expected: tuple[int, int]
) -> None:
    assert shaped(*size, area, most) == expected
