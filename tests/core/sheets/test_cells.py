from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor, ImageFont

from core.errors import InvalidRequest, PenultimateError, SheetTooLarge, UnknownName
from core.options import RANGES
from core.request import GenerationRequest, HiresFix
from core.sheets import axes, drawing
from core.sheets.axes import parse_axis, read_axis
from core.sheets.cells import cells, describe, draw
from tests.strategies import texts

CAT = GenerationRequest("a cat on a mat", "m", 7, negative_prompt="bad cat", count=4)


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("Clip skip", "1-12", list(range(1, 13))),
        ("Clip skip", "1-10 (+2)", [1, 3, 5, 7, 9]),
        ("Clip skip", "10-1 (-3)", [10, 7, 4]),
        ("Clip skip", "1-10 [5] , 12", [1, 3, 5, 7, 10, 12]),
        ("Clip skip", "5-1", []),
        ("Clip skip", " 2 ,, 3 ", [2, 3]),
        ("CFG Scale", "5,7,11", [5.0, 7.0, 11.0]),
        ("CFG Scale", "5-1 (-1)", [5.0, 4.0, 3.0, 2.0, 1.0]),
        ("CFG Scale", "1-2 [3]", [1.0, 1.5, 2.0]),
        ("CFG Scale", "1-2 (+0.75)", [1.0, 1.75, 2.5]),
        ("Denoising", "0-1 (+0.4)", [0.0, 0.4, 0.8]),
        ("Denoising", "1-0 (-0.4)", [1.0, 0.6, pytest.approx(0.2)]),
        ("Denoising", "0.9-1 (+0.05)", [0.9, pytest.approx(0.95), 1.0]),
        ("Denoising", "0.8-1 (+0.01)", [pytest.approx(0.8 + i / 100) for i in range(20)] + [1.0]),
        ("Clip skip", "1–3, 5 — 6, 8−9", [1, 2, 3, 5, 6, 8, 9]),
        ("CFG Scale", "5–1 (−2)", [5.0, 3.0, 1.0]),
        ("Seed", "1, −1", [1, -1]),
        ("Clip skip", "１，２、３〜５", [1, 2, 3, 4, 5]),
        ("CFG Scale", "５．５、１～２（＋０．５）", [5.5, 1.0, 1.5, 2.0]),
        ("Seed", "ー１，7", [-1, 7]),
        ("Size", "５１２ｘ７６８、512×512", ["512x768", "512x512"]),
        ("Sampler", "euler a、DPM++ 2M karras", ["Euler a", "DPM++ 2M Karras"]),
        ("Prompt S/R", "猫、犬，鳥", ["猫", "犬", "鳥"]),
        ("Prompt S/R", "猫、白, 犬", ["猫、白", "犬"]),
        ("VAE", '"甲、乙"、None', ["甲、乙", "None"]),
        ("Prompt S/R", "a–b", ["a–b"]),
        ("Seed", "1, -1", [1, -1]),
        ("Sampler", "euler a, DPM++ 2M karras", ["Euler a", "DPM++ 2M Karras"]),
        ("Schedule type", "karras", ["Karras"]),
        ("Size", "512x768, 768 × 512", ["512x768", "768x512"]),
        ("Prompt S/R", '"a, b", c\nd,', ["a, b", "c", "d", ""]),
        ("VAE", '"kl, f8", None', ["kl, f8", "None"]),
    ],
)
def test_axis_texts(name: str, text: str, values: list[object]) -> None:
    assert parse_axis(name, text) == values


@pytest.mark.parametrize(("start", "end", "step"), [(1, 2, 0.1), (1, 7, 0.3), (2.5, 9, 0.7)])
def test_fractions_are_numpy_s(start: float, end: float, step: float) -> None:
    values = parse_axis("CFG", f"{start}-{end} (+{step})")
    assert values == np.arange(start, end + step, step).tolist()
    assert parse_axis("CFG", f"{start}-{end} [9]") == np.linspace(start, end, 9).tolist()


@pytest.mark.parametrize(
    "name", ["Clip skip", "clip_skip", "CLIP SKIP", "clip-skip", " Clip  Skip "]
)
def test_axis_names_in_any_case(name: str) -> None:
    assert parse_axis(name, "2") == [2]


def test_axes_by_their_other_names() -> None:
    assert parse_axis("CFG scale", "7") == parse_axis("cfg", "7") == [7.0]
    assert parse_axis("model", "a") == parse_axis("Checkpoint name", "a") == ["a"]
    assert parse_axis("Denoising strength", "1") == [1.0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Clip skip", "13"),
        ("Clip skip", "0-3"),
        ("Clip skip", "1-13"),
        ("Clip skip", "1.5"),
        ("Clip skip", "1-5 (+0)"),
        ("Clip skip", "two"),
        ("CFG Scale", ".5-1"),
        ("CFG Scale", "nan"),
        ("CFG Scale", "1-2 (+0.0)"),
        ("Seed", "4294967296"),
        ("Steps", "9" * 5000),
        ("Size", "7x7"),
        ("Size", "large"),
    ],
)
def test_what_is_out_of_range_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_axis(name, text)


def test_refusal_says_what_is_allowed() -> None:
    with pytest.raises(InvalidRequest, match="clip_skip must be 1 to 12, not 13"):
        parse_axis("Clip skip", "1-13")


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("Seed", "1-10000", 10_000),
        ("Seed", "1-4294967295", 4_294_967_295),
        ("Seed", "1-4294967295 [4294967295]", 4_294_967_295),
        ("Seed", ",".join(map(str, range(1000))), 1000),
        ("Seed", "1-100, 7, 201-300, 1-10 [9]", 210),
        ("Seed", "1-1000 (+2), 5", 501),
        ("Seed", "1000-1 (-2)", 499),
        ("VAE", "a," * 3000, 3000),
        ("CFG Scale", "1-30 (+0.125)", 233),
    ],
)
def test_an_axis_too_long_says_how_many_values_it_has(name: str, text: str, count: int) -> None:
    with pytest.raises(SheetTooLarge) as raised:
        parse_axis(name, text)
    assert (raised.value.what, raised.value.count, raised.value.limit) == ("values", count, 150)


def test_a_text_too_long_is_not_read() -> None:
    with pytest.raises(SheetTooLarge) as raised:
        parse_axis("VAE", "a" * 20_000)
    assert (raised.value.what, raised.value.count) == ("characters", 20_000)


@given(
    st.sampled_from([kind.name for kind in axes.AXES]), st.from_regex(axes._RANGE, fullmatch=True)
)
def test_values_are_counted_as_they_are_made(name: str, text: str) -> None:
    kind, text = axes.kind_of(name), " ".join(text.split())
    try:
        values = parse_axis(name, text)
    except PenultimateError:
        return
    counted = axes._count(kind, text)
    # The last of a range of fractions is let go where it lies outside of what is allowed.
    assert len(values) <= counted <= len(values) + (kind.type is float)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="did you mean Clip skip"):
        parse_axis("Clip skp", "1")
    with pytest.raises(UnknownName, match="no sampler called 'Solver'"):
        parse_axis("Sampler", "Solver")
    with pytest.raises(UnknownName, match="no schedule type"):
        parse_axis("Schedule type", "Zigzag")


@given(st.sampled_from([kind.name for kind in axes.AXES]), texts | st.from_regex(axes._RANGE))
def test_any_text_is_values_or_a_sentence(name: str, text: str) -> None:
    try:
        values = parse_axis(name, text)
    except PenultimateError:
        return
    kind = axes.kind_of(name)
    for value in values:
        if kind.field in RANGES and value != -1:
            RANGES[kind.field].check(name, value)


def test_an_axis_has_values() -> None:
    with pytest.raises(InvalidRequest, match="values like 1-12"):
        read_axis("Clip skip", "5-1")


def test_labels() -> None:
    assert read_axis("Clip skip", "2").labels == ["Clip skip: 2"]
    assert read_axis("cfg", "7").labels == ["CFG Scale: 7.0"]
    assert read_axis("Sampler", "Euler a").labels == ["Euler a"]
    assert read_axis("VAE", "None").labels == ["VAE: None"]
    assert read_axis("Denoising", "0.1-0.3 (+0.1)").labels[2] == "Denoising: 0.3"


def test_seeds_are_drawn_once_for_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([11, 22])
    monkeypatch.setattr(axes, "draw_seed", lambda: next(drawn))
    x = read_axis("Seed", "-1, 5, -1")
    assert x.values == (11, 5, 22)
    assert x.labels[0] == "Seed: 11"
    sheet = cells(CAT, x, read_axis("Clip skip", "1,2"))
    assert [cell.request.seed for cell in sheet] == [11, 5, 22, 11, 5, 22]


def test_cells_differ_by_their_values_alone() -> None:
    sheet = cells(CAT, read_axis("Clip skip", "1-3"), read_axis("CFG scale", "5,7"))
    assert [(cell.row, cell.column) for cell in sheet] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert sheet[5].request == replace(CAT, count=1, clip_skip=3, cfg_scale=7.0)


def test_the_costliest_axis_is_outermost() -> None:
    models, vaes = read_axis("Checkpoint name", "a,b"), read_axis("VAE", "v,w")
    steps = read_axis("Steps", "10,20")
    for x, y, dear in ((models, vaes, "model"), (vaes, models, "model"), (vaes, steps, "vae")):
        order = [getattr(cell.request, dear) for cell in cells(CAT, x, y)]
        assert order == sorted(order)


def test_values_with_several_fields() -> None:
    (cell,) = cells(CAT, read_axis("Sampler", "DPM++ 2M Karras"), read_axis("Size", "64x128"))
    assert (cell.request.sampler, cell.request.schedule_type) == ("DPM++ 2M", "Karras")
    assert (cell.request.width, cell.request.height) == (64, 128)
    karras = replace(CAT, schedule_type="Karras")
    (cell,) = cells(karras, read_axis("Sampler", "Euler"))
    assert (cell.request.sampler, cell.request.schedule_type) == ("Euler", "Karras")


def test_denoising_is_the_hires_pass_s_where_there_is_one() -> None:
    x = read_axis("Denoising", "0.5")
    assert cells(CAT, x)[0].request.denoising_strength == 0.5
    hires = cells(replace(CAT, hires=HiresFix()), x)[0].request.hires
    assert hires is not None
    assert hires.denoising_strength == 0.5


def test_prompt_search_and_replace() -> None:
    sheet = cells(CAT, read_axis("Prompt S/R", "cat,dog,"))
    assert [cell.request.prompt for cell in sheet] == [
        "a cat on a mat",
        "a dog on a mat",
        "a  on a mat",
    ]
    assert sheet[1].request.negative_prompt == "bad dog"
    with pytest.raises(InvalidRequest, match="contains the first value"):
        cells(CAT, read_axis("Prompt S/R", "mouse,dog"))


def test_too_many_cells() -> None:
    x = read_axis("Clip skip", "1-12")
    with pytest.raises(SheetTooLarge, match="a sheet can have 143 cells, not 144"):
        cells(CAT, x, x, limit=143)
    assert len(cells(CAT, x, x, limit=144)) == 144


def test_describe() -> None:
    x, y = read_axis("clip_skip", "1-12"), read_axis("cfg", "5,7")
    assert describe(x, y) == {
        "Script": "X/Y/Z plot",
        "X Type": "Clip skip",
        "X Values": "1-12",
        "Y Type": "CFG Scale",
        "Y Values": "5,7",
    }


COLOURS = ["red", "lime", "blue", "cyan", "magenta", "yellow"]


def colours(image: Image.Image) -> list[tuple[str, int, int]]:
    """Where each colour's field begins: (colour, left, top)."""
    pixels = np.asarray(image)
    found = []
    for colour in COLOURS:
        rows, columns = np.nonzero((pixels == ImageColor.getrgb(colour)).all(axis=2))
        if len(rows):
            found.append((colour, int(columns.min()), int(rows.min())))
    return found


def test_every_picture_lands_in_its_cell() -> None:
    x, y = read_axis("Checkpoint name", "a,b,c"), read_axis("CFG", "5,7")
    placed = cells(CAT, x, y)
    # The dearer axis runs outermost, so pictures come column by column.
    assert [cell.column for cell in placed] == [0, 0, 1, 1, 2, 2]
    whole = draw(placed, [Image.new("RGB", (64, 48), each) for each in COLOURS], x, y)
    where = {colour: (left, top) for colour, left, top in colours(whole)}
    assert where["red"][0] == where["lime"][0] < where["blue"][0] == where["cyan"][0]
    assert where["red"][1] == where["blue"][1] < where["lime"][1] == where["cyan"][1]


def ink(image: Image.Image) -> tuple[int, int, int, int] | None:
    return image.convert("L").point(lambda value: 255 * (value < 128)).getbbox()


def test_legends_stand_above_and_left() -> None:
    white = [Image.new("RGB", (128, 128), "white")] * 4
    whole = drawing.draw_sheet(white, ["Clip skip: 1", "Clip skip: 2"], ["CFG Scale: 7.0", "b"])
    left, top = whole.width - 2 * 130, whole.height - 2 * 130
    heads, titles = (
        whole.crop((left, 0, whole.width, top)),
        whole.crop((0, top, left, whole.height)),
    )
    assert ink(heads) is not None
    assert ink(titles) is not None
    assert ink(whole.crop((0, 0, left, top))) is None
    assert ink(whole.crop((left, top, whole.width, whole.height))) is None


def test_long_legends_are_wrapped_within_their_column() -> None:
    white = [Image.new("RGB", (128, 128), "white")] * 2
    whole = drawing.draw_sheet(white, ["w" * 500, ""], [])
    box = ink(whole)
    assert box is not None
    assert box[0] >= 0
    assert box[2] <= 132
    assert box[3] <= whole.height - 128


def test_a_missing_picture_leaves_a_field() -> None:
    whole = drawing.draw_sheet([Image.new("RGB", (64, 64), "red"), None], ["a", "b"])
    assert whole.getpixel((whole.width - 32, whole.height - 32)) == (0xEC, 0xEC, 0xEC)
    assert drawing.draw_sheet([None], ["a"]).size > (256, 256)


def test_pictures_of_other_sizes_are_fitted() -> None:
    images = [Image.new("RGB", (64, 32), "red"), Image.new("RGB", (32, 128), "lime")]
    whole = drawing.draw_sheet(images, ["a", "b"])
    assert [colour for colour, _, _ in colours(whole)] == ["red", "lime"]
    assert whole.width >= 2 * 64


def test_a_huge_sheet_is_drawn_smaller() -> None:
    images = [Image.new("RGB", (2048, 2048))] * 12
    whole = drawing.draw_sheet(images, ["a"] * 4, ["b"] * 3)
    assert whole.width * whole.height <= drawing.MAX_SHEET_PIXELS
    strip = drawing.draw_sheet([Image.new("RGB", (512, 8))] * 100, ["a"] * 100)
    assert strip.width <= 16_383


def test_a_strip_can_be_folded() -> None:
    x = read_axis("Clip skip", "1-5")
    images = [Image.new("RGB", (64, 64), each) for each in COLOURS[:5]]
    whole = draw(cells(CAT, x), images, x, fold=2)
    where = {colour: (left, top) for colour, left, top in colours(whole)}
    assert where["red"][0] == where["blue"][0] == where["magenta"][0]
    assert where["red"][1] < where["blue"][1] < where["magenta"][1]
    assert whole.width < 3 * 64


def test_as_many_pictures_as_cells() -> None:
    with pytest.raises(ValueError, match="3 pictures for 2 × 1 cells"):
        drawing.draw_sheet([None] * 3, ["a", "b"])


def legend(text: str) -> bytes:
    return drawing.draw_sheet([Image.new("RGB", (64, 64))], [text]).tobytes()


def test_a_legend_beyond_ascii_is_in_a_font_of_the_system() -> None:
    # A font that lacks both letters draws the same box for each.
    if not any(map(installed, drawing.FONTS)):
        pytest.skip("none of the fonts is installed")
    assert legend("caf\u00e9") != legend("caf\u00ea")


def test_without_such_a_font_a_sheet_is_drawn_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "FONTS", ("none of this name",))
    assert legend("caf\u00e9") == legend("caf\u00ea") != legend("cafe")


def installed(name: str) -> bool:
    try:
        return bool(ImageFont.truetype(name))
    except OSError:
        return False


def test_limits_that_cross_are_blamed_on_the_axis() -> None:
    base = GenerationRequest("x", "m", seed=1, schedule_type="Karras", schedule_min_sigma=0.5)
    for low in (base, replace(base, schedule_min_sigma=0.0)):
        with pytest.raises(InvalidRequest) as caught:
            cells(low, read_axis("schedule_max_sigma", "0.01, 10"))
        assert (caught.value.field, caught.value.value) == ("schedule_max_sigma", "0.01")
    with pytest.raises(InvalidRequest) as caught:
        cells(replace(base, schedule_max_sigma=1.0), read_axis("schedule_min_sigma", "0.5, 1.5"))
    assert (caught.value.field, caught.value.value) == ("schedule_min_sigma", "1.5")
    with pytest.raises(InvalidRequest) as caught:
        GenerationRequest("x", "m", seed=1, schedule_max_sigma=0.02)
    assert caught.value.field == "schedule_max_sigma"


def test_an_axis_of_samplers_reads_other_programs_names() -> None:
    axis = read_axis("sampler", "dpmpp_2m_karras, k_euler_a, Euler")
    assert axis.values == ("DPM++ 2M Karras", "Euler a", "Euler")
    with pytest.raises(UnknownName):
        read_axis("sampler", "heunpp2")


def test_an_axis_of_upscalers_brings_hires_fix() -> None:
    axis = read_axis("hires upscaler", "Latent, Lanczos")
    plain = GenerationRequest("x", "m", seed=1)
    found = [cell.request.hires for cell in cells(plain, axis)]
    assert found == [HiresFix(upscaler="Latent"), HiresFix(upscaler="Lanczos")]
    scaled = replace(plain, hires=HiresFix(1.5, 5))
    assert [cell.request.hires for cell in cells(scaled, axis)][1] == HiresFix(
        1.5, 5, upscaler="Lanczos"
    )
