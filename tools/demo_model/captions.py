"""Says a scene in words, as prose or as Booru tags, with the noise of real prompts around it."""

from __future__ import annotations

import random
import string

from .scene import BACKGROUNDS, COLOURS, PLAIN, SCENES, SUBJECTS, Scene, Thing

SIZE_WORDS = {"small": ("small", "tiny", "little"), "large": ("large", "big", "huge")}
PLACE_PROSE = {
    "left": ("on the left", "on the left side", "at the left"),
    "right": ("on the right", "on the right side", "at the right"),
    "top": ("at the top", "on the top"),
    "bottom": ("at the bottom", "on the bottom"),
    "centre": ("in the middle", "in the center", "in the centre"),
}
PLACE_TAGS = {
    "left": ("left", "on the left", "left side"),
    "right": ("right", "on the right", "right side"),
    "top": ("top", "at the top"),
    "bottom": ("bottom", "at the bottom"),
    "centre": ("centered", "center", "middle"),
}
SCENE_PROSE = {
    "night sky": ("in the night sky", "in the night sky", "at night", "in a starry night sky"),
    "grass field": ("on a grass field", "in a grass field", "on the grass", "in a field"),
    "sea": ("at sea", "in the sea", "by the sea", "in the ocean"),
    "snow": ("in the snow", "on the snow", "in a snow field"),
    "sunset": ("at sunset", "in the sunset", "in front of a sunset"),
}
SCENE_TAGS = {
    "night sky": ("night sky", "night", "starry sky"),
    "grass field": ("grass field", "grass", "field"),
    "sea": ("sea", "ocean"),
    "snow": ("snow",),
    "sunset": ("sunset",),
}
GOOD = tuple(
    """
    masterpiece, best quality, high quality, highly detailed, very detailed, detailed,
    absurdres, highres, 4k, 8k, hd, beautiful, cute, illustration, flat color, vector art,
    digital art, cartoon, colorful, solo, no humans, simple, sharp, clean, professional,
    artwork, painting, intricate, amazing quality
    """.strip()
    .replace("\n    ", " ")
    .split(", ")
)
BAD = tuple(
    """
    lowres, blurry, worst quality, low quality, normal quality, bad quality, bad anatomy,
    bad hands, watermark, text, signature, username, jpeg artifacts, cropped, ugly,
    deformed, error, out of frame, noise, messy, distorted, duplicate
    """.strip()
    .replace("\n    ", " ")
    .split(", ")
)
OPENINGS = ("a picture of", "an image of", "a drawing of", "a photo of", "an illustration of")
FILLER = (
    "a an the of in on at with and to left right next beside side by above below under over",
    "front plain background colored coloured style is there two grey gray",
)


def _article(words: str, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.7:
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
    return f"the {words}" if roll < 0.78 else words


def _colour(name: str, rng: random.Random) -> str:
    return rng.choice(("gray", "grey")) if name == "gray" else name


def _thing(thing: Thing, rng: random.Random, omit: float) -> str:
    if rng.random() < omit:
        return thing.subject
    return f"{thing.colour} {thing.subject}"


def _background_prose(name: str, rng: random.Random) -> str:
    if name in SCENE_PROSE:
        return rng.choice(SCENE_PROSE[name])
    colour = _colour(name, rng)
    article = "an" if colour[0] in "aeiou" else "a"
    return rng.choice(
        (
            f"on {article} {colour} background",
            f"on {article} {colour} background",
            f"on {colour} background",
            f"with {article} {colour} background",
            f"in front of {article} {colour} background",
            f", {colour} background",
            f"on {colour}",
        )
    )


def _background_tag(name: str, rng: random.Random) -> str:
    if name in SCENE_TAGS:
        return rng.choice(SCENE_TAGS[name])
    return f"{_colour(name, rng)} background"


def _pair_prose(scene: Scene, rng: random.Random, omit: float) -> str:
    first, second = (_article(_thing(t, rng, omit), rng) for t in scene.things)
    forward: tuple[str, ...]
    if scene.relation == "above":
        forward, backward = ("above", "over", "on top of"), ("below", "under")
    else:
        forward = ("left of", "to the left of", "and", "next to", "beside", "on the left and")
        backward = ("right of", "to the right of")
    if rng.random() < 0.7:
        return f"{first} {rng.choice(forward)} {second}"
    return f"{second} {rng.choice(backward)} {first}"


def _single_prose(scene: Scene, rng: random.Random, omit: float) -> str:
    words = _thing(scene.things[0], rng, omit)
    if scene.size in SIZE_WORDS:
        words = f"{rng.choice(SIZE_WORDS[scene.size])} {words}"
    words = _article(words, rng)
    if scene.place != "centre" or rng.random() < 0.06:
        place = rng.choice(PLACE_PROSE[scene.place])
        return f"{words} {place}"
    return words


def prose(scene: Scene, rng: random.Random, omit: float = 0.0) -> str:
    """One sentence: 'a small red circle on the left on a blue background'."""
    words = _pair_prose(scene, rng, omit) if scene.pair else _single_prose(scene, rng, omit)
    if scene.named and rng.random() >= omit:
        background = _background_prose(scene.background, rng)
        swap = not scene.pair and scene.place != "centre" and rng.random() < 0.3
        if swap:
            words = words.rsplit(" on the ", 1)[0] if " on the " in words else words
            place = (
                ""
                if words.endswith(PLACE_PROSE[scene.place])
                else rng.choice(PLACE_PROSE[scene.place])
            )
            words = f"{words} {background} {place}".rstrip()
        else:
            comma = "," if rng.random() < 0.15 else ""
            words = f"{words}{comma} {background}"
    if rng.random() < 0.1:
        words = f"{rng.choice(OPENINGS)} {words}"
    return words.replace(" ,", ",").replace(",,", ",")


def tags(scene: Scene, rng: random.Random, omit: float = 0.0) -> str:
    """Booru tags: '1star, yellow, night sky'."""
    out: list[str] = []
    if scene.pair:
        first, second = (_thing(t, rng, omit) for t in scene.things)
        if scene.relation == "above":
            out.append(f"{first} above {second}")
        elif rng.random() < 0.5:
            out += [first, second]
        else:
            out.append(f"{first} left of {second}")
    else:
        thing = scene.things[0]
        if rng.random() < 0.5:
            out += [f"1{thing.subject}", thing.colour]
        else:
            out.append(rng.choice(("", "1")) + _thing(thing, rng, omit))
        if scene.size in SIZE_WORDS:
            size = rng.choice(SIZE_WORDS[scene.size])
            out.insert(0 if rng.random() < 0.5 else len(out), size)
        if scene.place != "centre" or rng.random() < 0.06:
            out.append(rng.choice(PLACE_TAGS[scene.place]))
    if scene.named and rng.random() >= omit:
        out.insert(len(out) if rng.random() < 0.75 else 0, _background_tag(scene.background, rng))
    return ", ".join(out)


def nonsense(rng: random.Random) -> str:
    """Words the model cannot know, sometimes in a script it cannot spell."""
    words = []
    for _ in range(rng.randint(1, 4)):
        if rng.random() < 0.1:
            words.append("".join(rng.choice("éßяж日本語猫ñ漢✨") for _ in range(rng.randint(1, 4))))
        else:
            letters = (rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 9)))
            words.append("".join(letters))
    return " ".join(words)


def _decorate(words: str, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.12:
        count = rng.randint(1, 4)
        words = f"{', '.join(rng.sample(GOOD, count))}, {words}"
    elif roll < 0.22:
        words = f"{words}, {', '.join(rng.sample(GOOD, rng.randint(1, 3)))}"
    if rng.random() < 0.1:
        stray = nonsense(rng)
        words = f"{words}, {stray}" if rng.random() < 0.6 else f"{stray}, {words}"
    if rng.random() < 0.04:
        words += "."
    return words


def caption(scene: Scene, rng: random.Random) -> str:
    """The scene in words, now and then without its background or a colour."""
    say = tags if rng.random() < 0.4 else prose
    words = say(scene, rng, omit=0.04)
    return _decorate(words, rng)


def empty(rng: random.Random) -> str:
    """A caption that says nothing about the picture, for the negative prompt's side."""
    roll = rng.random()
    if roll < 0.5:
        return ""
    if roll < 0.85:
        return ", ".join(rng.sample(BAD, rng.randint(1, 8)))
    return ", ".join(rng.sample(GOOD, rng.randint(1, 3))) if roll < 0.93 else nonsense(rng)


def words() -> list[str]:
    """Every word that captions are made of, without repetition."""
    phrases = [
        *SUBJECTS,
        *COLOURS,
        *PLAIN,
        *BACKGROUNDS,
        *SCENES,
        *GOOD,
        *BAD,
        *OPENINGS,
        *FILLER,
        *(w for group in SIZE_WORDS.values() for w in group),
        *(
            w
            for d in (PLACE_PROSE, PLACE_TAGS, SCENE_PROSE, SCENE_TAGS)
            for g in d.values()
            for w in g
        ),
    ]
    found: dict[str, None] = {}
    for phrase in phrases:
        for word in phrase.split():
            if word.isalpha():
                found[word] = None
    return list(found)
