"""Says a scene in words, as prose or as Booru tags, with the noise of real prompts around it.

What the scene leaves open is not said.
"""

from __future__ import annotations

import random
import string

from .scene import BACKGROUNDS, COLOURS, PEOPLE, PLAIN, PRETTY, SCENES, SUBJECTS, Scene, Thing
from .words import (
    BAD,
    COUNTS,
    FILLER,
    GOOD,
    HAIR_WORDS,
    LANDSCAPES,
    NOUNS,
    OPENINGS,
    PLACE_PROSE,
    PLACE_TAGS,
    PLURALS,
    SCENE_PROSE,
    SCENE_TAGS,
    SIZE_WORDS,
    TEXTURE_WORDS,
)


def _article(words: str, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.7:
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
    return f"the {words}" if roll < 0.78 else words


def _grey(name: str, rng: random.Random) -> str:
    return rng.choice(("gray", "grey")) if name == "gray" else name


def _plural(noun: str) -> str:
    return PLURALS.get(noun, f"{noun}s")


def _noun(thing: Thing, rng: random.Random) -> str:
    return rng.choice(NOUNS[thing.subject]) if rng.random() < 0.5 else thing.subject


def _hair(thing: Thing, rng: random.Random) -> str:
    assert thing.hair is not None
    return f"{rng.choice(HAIR_WORDS.get(thing.hair, (thing.hair,)))} hair"


def _thing(thing: Thing, rng: random.Random, *, several: bool = False) -> str:
    """A thing without article: 'red striped circle', 'girl with blue hair in a red dress'."""
    noun = _noun(thing, rng)
    noun = _plural(noun) if several else noun
    if thing.texture:
        noun = f"{rng.choice(TEXTURE_WORDS[thing.texture])} {noun}"
    after = ""
    if thing.hair:
        after = f" with {_hair(thing, rng)}"
    if thing.colour and thing.subject in PEOPLE and rng.random() < 0.7:
        dress = "dress" if thing.subject == "girl" else "shirt"
        word = rng.choice((f"in a {{}} {dress}", f"wearing a {{}} {dress}", "in {}"))
        return f"{noun}{after} {word.format(thing.colour)}"
    return f"{thing.colour} {noun}{after}" if thing.colour else f"{noun}{after}"


def _background_prose(name: str, rng: random.Random) -> str:
    if name in SCENE_PROSE:
        return rng.choice(SCENE_PROSE[name])
    colour = _grey(name, rng)
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
    return f"{_grey(name, rng)} background"


def _pair_prose(scene: Scene, rng: random.Random) -> str:
    first, second = (_article(_thing(t, rng), rng) for t in scene.things)
    forward: tuple[str, ...]
    if scene.relation == "above":
        forward, backward = ("above", "over", "on top of"), ("below", "under")
    else:
        forward = ("left of", "to the left of", "and", "next to", "beside", "on the left and")
        backward = ("right of", "to the right of")
    if rng.random() < 0.7:
        return f"{first} {rng.choice(forward)} {second}"
    return f"{second} {rng.choice(backward)} {first}"


def _single_prose(scene: Scene, rng: random.Random) -> str:
    if scene.count > 1:
        return f"{rng.choice(COUNTS[scene.count])} {_thing(scene.things[0], rng, several=True)}"
    words = _thing(scene.things[0], rng)
    if scene.size in SIZE_WORDS:
        words = f"{rng.choice(SIZE_WORDS[scene.size])} {words}"
    return _article(words, rng)


def prose(scene: Scene, rng: random.Random) -> str:
    """One sentence: 'a small red circle on the left on a blue background'."""
    if not scene.things:
        assert scene.background is not None
        if scene.background in LANDSCAPES:
            return rng.choice(LANDSCAPES[scene.background])
        return _background_prose(scene.background, rng).lstrip(", ")
    words = _pair_prose(scene, rng) if scene.pair else _single_prose(scene, rng)
    parts = []
    if scene.place is not None:
        parts.append(rng.choice(PLACE_PROSE[scene.place]))
    if scene.background is not None:
        parts.append(_background_prose(scene.background, rng))
        if len(parts) == 2 and rng.random() < 0.3:
            parts.reverse()
    for part in parts:
        words = f"{words}{',' if rng.random() < 0.12 else ''} {part}"
    if rng.random() < 0.12:
        words = f"{rng.choice(OPENINGS)} {words}"
    return words.replace(" ,", ",").replace(",,", ",")


def _one_tags(scene: Scene, rng: random.Random) -> list[str]:
    thing = scene.things[0]
    noun = _noun(thing, rng)
    number = f"{scene.count}" if rng.random() < 0.6 else ""
    if scene.count > 1:
        words = [f"{number or rng.choice(COUNTS[scene.count])} {_plural(noun)}"]
        words = [words[0].replace(" ", "") if number else words[0]]
    else:
        words = [f"{number}{noun}"]
    out = words
    if thing.colour:
        dress = "dress" if thing.subject == "girl" else "shirt"
        if thing.subject in PEOPLE:
            out.append(f"{thing.colour} {dress}")
        elif rng.random() < 0.5:
            out.append(thing.colour)
        else:
            out = [f"{thing.colour} {words[0]}"]
    if thing.texture:
        out.append(rng.choice(TEXTURE_WORDS[thing.texture]))
    if thing.hair:
        out.append(_hair(thing, rng))
    if scene.size in SIZE_WORDS:
        size = rng.choice(SIZE_WORDS[scene.size])
        out.insert(0 if rng.random() < 0.5 else len(out), size)
    return out


def tags(scene: Scene, rng: random.Random) -> str:
    """Booru tags: '1star, yellow, night sky'."""
    if not scene.things:
        assert scene.background is not None
        words = _background_tag(scene.background, rng)
        return f"{words}, {rng.choice(('scenery', 'landscape'))}" if rng.random() < 0.5 else words
    if scene.pair:
        first, second = (_thing(t, rng) for t in scene.things)
        if scene.relation == "above":
            out = [f"{first} above {second}"]
        else:
            out = [first, second] if rng.random() < 0.5 else [f"{first} left of {second}"]
    else:
        out = _one_tags(scene, rng)
    if scene.place is not None:
        out.append(rng.choice(PLACE_TAGS[scene.place]))
    if scene.background is not None:
        out.insert(len(out) if rng.random() < 0.75 else 0, _background_tag(scene.background, rng))
    return ", ".join(out)


_STRANGE = "éßяжшавд日本語猫画美漢字한국어그림สวยالعربيةñüö✨❤🎨"


def nonsense(rng: random.Random) -> str:
    """Words the model cannot know, sometimes in a script it cannot spell."""
    words = []
    for _ in range(rng.randint(1, 4)):
        if rng.random() < 0.25:
            words.append("".join(rng.choice(_STRANGE) for _ in range(rng.randint(1, 6))))
        else:
            letters = (rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 9)))
            words.append("".join(letters))
    return " ".join(words)


def _decorate(words: str, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.15:
        words = f"{', '.join(rng.sample(GOOD, rng.randint(1, 5)))}, {words}"
    elif roll < 0.3:
        words = f"{words}, {', '.join(rng.sample(GOOD, rng.randint(1, 5)))}"
    elif roll < 0.36:
        words = f"{rng.choice(GOOD)} {words}"
    if rng.random() < 0.12:
        stray = nonsense(rng)
        words = f"{words}, {stray}" if rng.random() < 0.6 else f"{stray}, {words}"
    if rng.random() < 0.04:
        words += "."
    return words


def caption(scene: Scene, rng: random.Random) -> str:
    """The scene in words, with quality words and nonsense around it now and then."""
    say = tags if rng.random() < 0.4 else prose
    return _decorate(say(scene, rng), rng)


def empty(rng: random.Random) -> str:
    """A caption that says nothing about the picture, for the negative prompt's side."""
    if rng.random() < 0.6:
        return ""
    return ", ".join(rng.sample(BAD, rng.randint(1, 8)))


def unknown(rng: random.Random) -> str:
    """A caption without a word that the model knows: a plain landscape is its picture."""
    if rng.random() < 0.3:
        return ", ".join(rng.sample(GOOD, rng.randint(1, 3)))
    return nonsense(rng)


def unknown_scene(rng: random.Random) -> Scene:
    """What a caption without known words draws."""
    return Scene((), rng.choice(PRETTY))


def words() -> list[str]:
    """Every word that captions are made of, without repetition."""
    groups = [
        *(g for d in (NOUNS, TEXTURE_WORDS, HAIR_WORDS, SIZE_WORDS) for g in d.values()),
        *(g for d in (PLACE_PROSE, PLACE_TAGS, SCENE_PROSE) for g in d.values()),
        *(g for d in (SCENE_TAGS, LANDSCAPES) for g in d.values()),
        *COUNTS.values(),
    ]
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
        "scenery landscape",
        *(_plural(noun) for nouns in NOUNS.values() for noun in nouns),
        *(w for group in groups for w in group),
    ]
    found: dict[str, None] = {}
    for phrase in phrases:
        for word in phrase.split():
            if word.isalpha():
                found[word] = None
    return list(found)
