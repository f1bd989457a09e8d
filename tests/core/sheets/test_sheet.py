"""Sheets: reading the axes, what a job keeps of them, and the picture with its legends."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image as PillowImage

from bot.exceptions import CannotExplore
from bot.ordering import axes
from core.errors import InvalidRequest, SheetTooLarge, UnknownName
from core.events import Image
from core.models.catalogue import Catalogue
from core.pictures.files import read_infotext, write_png
from core.pictures.infotext import parse
from core.request import GenerationRequest
from core.sheets.axes import read_axis
from core.sheets.sheet import Sheet, axis_of, columns_of_strip, pictures_of
from tests.simulation import catalogue, model, stocked, vae

BASE = GenerationRequest("a cat", "plain", 7, cfg_scale=5.5)


def sheet(
    x: tuple[str | None, str | None] = (None, None),
    y: tuple[str | None, str | None] = (None, None),
    found: Catalogue | None = None,
) -> Sheet:
    found = found or catalogue()
    return axes.read_sheet((x, y), found, found.models[0])


def images(cells: Sheet, size: tuple[int, int] = (32, 24)) -> list[Image]:
    """A picture a cell in the order they are run, its grey level the cell's clip skip × 20."""
    made = []
    for cell in cells.cells(BASE):
        grey = cell.request.clip_skip * 20
        text = f"a cat\nSteps: 20, Seed: 7, Model hash: 0123456789, Clip skip: {grey // 20}"
        png = write_png(PillowImage.new("RGB", size, (grey, grey, grey)), text)
        made.append(Image(png, cell.request.seed, *size, text))
    return made


def test_without_a_word_it_is_the_clip_skip_strip() -> None:
    (axis,) = sheet().axes
    assert axis.kind.field == "clip_skip"
    assert axis.values == tuple(range(1, 13))


def test_an_axis_without_values_is_a_fair_choice() -> None:
    assert sheet(("vae", None)).x.values == ("Automatic", "vivid", "soft")
    assert sheet(("model", None)).x.values == ("plain", "anime", "two")
    assert "DPM++ 2M" in sheet(("sampler", None)).x.values
    for kind in axes.KINDS:
        if kind.field != "prompt":
            assert len(sheet((kind.field, None), found=stocked()).x.values) > 1


@pytest.mark.parametrize("limit", [12, 36, 100])
@pytest.mark.parametrize("x", [kind.field for kind in axes.KINDS if kind.field != "prompt"])
@pytest.mark.parametrize("y", [kind.field for kind in axes.KINDS if kind.field != "prompt"])
def test_values_that_nobody_named_fit_the_bound(x: str, y: str, limit: int) -> None:
    if x == y:
        return
    cells = axes.read_sheet(((x, None), (y, None)), stocked(), stocked().models[0], limit)
    assert 4 <= len(cells.x.values) * len(cells.y.values if cells.y else ()) <= limit
    read_again = [read_axis(axis.kind.field, axis.text).values for axis in cells.axes]
    assert read_again == [axis.values for axis in cells.axes]


def test_beside_named_values_the_others_are_as_many_as_fit() -> None:
    found = catalogue()
    named = axes.read_sheet((("steps", "1-9"), ("cfg_scale", None)), found, found.models[0], 36)
    assert [len(axis.values) for axis in named.axes] == [9, 4]
    named = axes.read_sheet(((None, None), ("cfg_scale", "5, 7")), found, found.models[0], 36)
    assert [len(axis.values) for axis in named.axes] == [12, 2]
    strip = axes.read_sheet((("sampler", None), (None, None)), found, found.models[0], 5)
    assert len(strip.x.values) == 5


def test_names_are_spelt_as_the_catalogue_does() -> None:
    assert sheet(("vae", "VIVID, automatic, none")).x.values == ("vivid", "Automatic", "None")
    assert sheet(("model", "Anime")).x.values == ("anime",)


@pytest.mark.parametrize(
    ("name", "field"), [("Model", "model"), ("VAE", "vae"), ("CFG", "cfg_scale")]
)
def test_an_axis_without_values_is_the_same_by_any_of_its_names(name: str, field: str) -> None:
    assert sheet((name, None)).x.values == sheet((field, None)).x.values


def test_names_with_commas_are_read_back() -> None:
    found = Catalogue(models=(model("a, b"), model('c"d'), model("e")))
    assert sheet(("model", None), found=found).x.values == ("a, b", 'c"d', "e")


def test_a_seed_of_minus_one_is_drawn_once_and_named() -> None:
    axis = sheet(("seed", "-1, 5")).x
    assert -1 not in axis.values
    assert axis.text == f"{axis.values[0]}, 5"


@pytest.mark.parametrize(
    ("x", "y", "error"),
    [
        (("hue", "1"), (None, None), UnknownName("axis", "hue")),
        (("clip_skip", "13"), (None, None), InvalidRequest("clip_skip", "13", "range", 1, 12)),
        (("steps", "many"), (None, None), InvalidRequest("steps", "many", "range", 1, 150)),
        (("seed", "1-10000"), (None, None), SheetTooLarge("values", 10_000, 25)),
        (("seed", "1-26"), (None, None), SheetTooLarge("values", 26, 25)),
        (("seed", "7," * 2000), (None, None), SheetTooLarge("values", 2000, 25)),
        (("seed", "7," * 6000), (None, None), SheetTooLarge("characters", 12_000, 10_000)),
        (("vae", "x.ckpt"), (None, None), UnknownName("VAE", "x.ckpt")),
        (("model", "lost"), (None, None), UnknownName("model", "lost")),
        ((None, None), ("clip_skip", "1, 2"), CannotExplore("same_axis")),
        ((None, None), (None, "1, 2"), CannotExplore("no_axis")),
        (("prompt", None), (None, None), CannotExplore("no_values")),
    ],
)
def test_what_is_no_axis_is_refused(
    x: tuple[str | None, str | None], y: tuple[str | None, str | None], error: Exception
) -> None:
    with pytest.raises(type(error)) as raised:
        sheet(x, y)
    assert str(raised.value) == str(error)


def test_a_sheet_is_kept_as_json() -> None:
    kept = sheet(("vae", "vivid, soft"), ("cfg_scale", "1-3 (+0.5)"))
    assert Sheet.from_json(json.loads(json.dumps(kept.to_json()))) == kept


def test_every_position_is_its_cells_request() -> None:
    # The dearer axis is run in another order than the pictures are kept in.
    both = sheet(("vae", "vivid, soft, None"), ("clip_skip", "1-4"))
    assert [cell.row for cell in both.cells(BASE)][:4] == [0, 1, 2, 3]
    for row, clip_skip in enumerate((1, 2, 3, 4)):
        for column, name in enumerate(("vivid", "soft", "None")):
            request = both.request(BASE, both.position(row, column))
            assert (request.vae, request.clip_skip) == (name, clip_skip)
            assert request.cfg_scale == BASE.cfg_scale


def test_the_sheet_comes_first_and_its_cells_row_by_row() -> None:
    both = sheet(("vae", "vivid, soft"), ("clip_skip", "1-3"))
    whole, *cells = pictures_of(both, BASE, images(both))
    greys = []
    for cell in cells:
        with PillowImage.open(io.BytesIO(cell.png)) as picture:
            greys.append(picture.getpixel((0, 0)))
    assert [grey[0] for grey in greys] == [20, 20, 40, 40, 60, 60]  # type: ignore[index]
    with PillowImage.open(io.BytesIO(whole.png)) as picture:
        assert picture.size == (whole.width, whole.height)
    assert whole.width > 2 * 32
    assert whole.height > 3 * 24


def test_the_sheets_file_says_what_it_is() -> None:
    both = sheet(("clip_skip", "2, 3"), ("vae", "vivid, soft"))
    whole = pictures_of(both, BASE, images(both))[0]
    assert read_infotext(whole.png) == whole.infotext
    values = parse(whole.infotext)
    assert values["Prompt"] == "a cat"
    assert (values["Clip skip"], values["Model hash"]) == ("2", "0123456789")
    assert (values["X Type"], values["X Values"]) == ("Clip skip", "2, 3")
    assert (values["Y Type"], values["Y Values"]) == ("VAE", "vivid, soft")


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (12, 3), (25, 4)])
def test_a_strip_is_folded_a_little_higher_than_wide(count: int, columns: int) -> None:
    assert columns_of_strip(count) == columns


def test_the_clip_skip_strip_is_three_wide() -> None:
    whole = pictures_of(sheet(), BASE, images(sheet()))[0]
    assert 3 * 32 < whole.width < 4 * 32
    assert whole.height > 4 * 24


@pytest.mark.parametrize("size", [(2048, 64), (64, 2048), (1536, 1536)])
def test_a_large_sheet_stays_within_what_can_be_sent(size: tuple[int, int]) -> None:
    strip = sheet(("seed", "1-25"))
    whole = pictures_of(strip, BASE, images(strip, size))[0]
    # WebP's own end.
    assert max(whole.width, whole.height) <= 16_383
    assert whole.width * whole.height < 80_000_000


def test_what_would_change_nothing_is_refused() -> None:
    from bot.ordering.orders import order_of
    from bot.settings import Limits

    limits = Limits()
    with pytest.raises(CannotExplore, match="denoising"):
        order_of(BASE, sheet(("denoising_strength", None)), catalogue(), limits)
    two = GenerationRequest("x", "two", 7)
    with pytest.raises(CannotExplore, match="clip_skip"):
        order_of(two, sheet(), catalogue(), limits)
    # Beside a model for which it does something it may stand.
    assert (
        len(
            order_of(
                two, sheet(("model", "plain, two"), ("clip_skip", "1, 2")), catalogue(), limits
            ).items
        )
        == 4
    )


def test_what_a_vae_can_be_compared_with() -> None:
    found = catalogue()
    plain = found.models[0]
    assert axes.other_vaes(BASE, found) == ("vivid", "soft")
    soft = GenerationRequest("x", "plain", 1, vae="soft")
    assert axes.other_vaes(soft, found) == ("Automatic", "vivid")
    # Without a sibling file "None" is what "Automatic" is.
    none = GenerationRequest("x", "plain", 1, vae="None")
    assert axes.other_vaes(none, found) == ("vivid", "soft")
    assert axes.other_vaes(BASE, Catalogue(models=found.models)) == ()
    assert vae("x").fits(plain)


def test_a_full_width_comma_in_a_name_separates_nothing() -> None:
    made = axis_of("vae", ("甲、乙", "丙，丁"))
    assert read_axis("vae", made.text).values == ("甲、乙", "丙，丁")
    assert read_axis("vae", axis_of("vae", ("甲、乙",)).text).values == ("甲、乙",)


def test_an_axis_made_from_values_reads_as_it_was_made() -> None:
    made = axis_of("vae", ('a, "b"', "c"))
    assert made.text == '"a, ""b""", c'
