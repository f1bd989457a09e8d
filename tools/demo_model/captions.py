"""Says a scene in words, as prose or as Booru tags, with the noise of real prompts around it.

What the scene leaves open is not said. ``loose`` is the share of words from outside the first
edition's.
"""

from __future__ import annotations

import random
import string

from . import words as say
from .scene import PEOPLE, Scene, Thing


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _article(words: str, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.7:
        return _a(words)
    return f"the {words}" if roll < 0.78 else words


def _grey(name: str, rng: random.Random) -> str:
    return rng.choice(("gray", "grey")) if name == "gray" else name


def _plural(noun: str) -> str:
    return say.PLURALS.get(noun, f"{noun}s")


def _thing(thing: Thing, rng: random.Random, loose: float, *, several: bool = False) -> str:
    """A thing without article: 'red circle', 'girl with blue hair in a red dress'."""
    noun = thing.subject
    if rng.random() < loose or noun == "portrait":
        noun = rng.choice(say.NOUNS.get(noun, (noun,)))
    noun = _plural(noun) if several else noun
    words = f"{thing.colour} {noun}" if thing.colour else noun
    if thing.subject in PEOPLE:
        if thing.colour and rng.random() < 0.85:
            dress = "shirt" if thing.subject == "boy" else "dress"
            worn = f"{_a(thing.colour)} {dress}"
            words = f"{noun} {rng.choice((f'in {worn}', f'wearing {worn}', f'in {thing.colour}'))}"
        if thing.hair:
            words = f"{words} {rng.choice(('with', 'and'))} {_hair(thing.hair, rng)}"
        if thing.umbrella:
            holding = rng.choice(("with", "with", "holding", "under"))
            words = f"{words} {holding} {_a(thing.umbrella)} umbrella"
    return words


def _hair(name: str, rng: random.Random) -> str:
    return f"{rng.choice(say.HAIR_WORDS.get(name, (name,)))} hair"


def _background_prose(name: str, rng: random.Random, loose: float) -> str:
    more = rng.random() < loose and name in say.MORE_PROSE
    if name in say.SCENE_PROSE:
        return rng.choice((say.MORE_PROSE if more else say.SCENE_PROSE)[name])
    colour = _grey(name, rng)
    return rng.choice(
        (
            f"on {_a(colour)} background",
            f"on {_a(colour)} background",
            f"on {colour} background",
            f"with {_a(colour)} background",
            f"in front of {_a(colour)} background",
            f", {colour} background",
            f"on {colour}",
        )
    )


def _background_tag(name: str, rng: random.Random, *, more: bool = False) -> str:
    if name in say.SCENE_TAGS:
        return rng.choice(
            (say.MORE_TAGS if more and name in say.MORE_TAGS else say.SCENE_TAGS)[name]
        )
    return f"{_grey(name, rng)} background"


def _pair_prose(scene: Scene, rng: random.Random, loose: float) -> str:
    first, second = (_article(_thing(t, rng, loose), rng) for t in scene.things)
    forward: tuple[str, ...]
    if scene.relation == "above":
        forward, backward = ("above", "over", "on top of"), ("below", "under")
    else:
        forward = ("left of", "to the left of", "and", "next to", "beside", "on the left and")
        backward = ("right of", "to the right of")
    if rng.random() < 0.7:
        return f"{first} {rng.choice(forward)} {second}"
    return f"{second} {rng.choice(backward)} {first}"


def _single_prose(scene: Scene, rng: random.Random, loose: float) -> str:
    if scene.count > 1:
        words = _thing(scene.things[0], rng, loose, several=True)
        return f"{rng.choice(say.COUNTS[scene.count])} {words}"
    words = _thing(scene.things[0], rng, loose)
    if scene.size in say.SIZE_WORDS:
        words = f"{rng.choice(say.SIZE_WORDS[scene.size])} {words}"
    words = _article(words, rng)
    if scene.place != "centre" or rng.random() < 0.06:
        place = rng.choice(say.PLACE_PROSE[scene.place])
        return f"{words} {place}"
    return words


def prose(scene: Scene, rng: random.Random, loose: float = 0.0) -> str:
    """One sentence: 'a small red circle on the left on a blue background'."""
    if not scene.things:
        assert scene.background is not None
        return rng.choice(say.LANDSCAPES[scene.background])
    several = scene.pair or scene.count > 1
    words = (_pair_prose if scene.pair else _single_prose)(scene, rng, loose)
    if scene.background is not None:
        background = _background_prose(scene.background, rng, loose)
        swap = not several and scene.place != "centre" and rng.random() < 0.3
        if swap:
            words = words.rsplit(" on the ", 1)[0] if " on the " in words else words
            place = (
                ""
                if words.endswith(say.PLACE_PROSE[scene.place])
                else rng.choice(say.PLACE_PROSE[scene.place])
            )
            words = f"{words} {background} {place}".rstrip()
        else:
            comma = "," if rng.random() < 0.15 else ""
            words = f"{words}{comma} {background}"
    if rng.random() < 0.1:
        more = say.MORE_OPENINGS if loose else ()
        words = f"{rng.choice((*say.OPENINGS, *more))} {words}"
    return words.replace(" ,", ",").replace(",,", ",")


def _one_tags(scene: Scene, rng: random.Random, loose: float) -> list[str]:
    thing = scene.things[0]
    out: list[str] = []
    if scene.count > 1:
        words = _thing(thing, rng, loose, several=True)
        glue = rng.choice((" ", "")) if words[0].isalpha() else " "
        out.append(f"{scene.count}{glue}{words}")
    elif thing.colour and thing.subject not in PEOPLE and rng.random() < 0.5:
        out += [f"1{thing.subject}", thing.colour]
    else:
        out.append(rng.choice(("", "1")) + _thing(thing, rng, loose))
    if scene.size in say.SIZE_WORDS:
        size = rng.choice(say.SIZE_WORDS[scene.size])
        out.insert(0 if rng.random() < 0.5 else len(out), size)
    if scene.place != "centre" or rng.random() < 0.06:
        out.append(rng.choice(say.PLACE_TAGS[scene.place]))
    return out


def _people_tags(scene: Scene, rng: random.Random) -> list[str]:
    """'1girl, blue hair, red dress'."""
    thing = scene.things[0]
    dress = "shirt" if thing.subject == "boy" else "dress"
    out = [f"1{thing.subject}" if thing.subject != "portrait" else "1girl, portrait"]
    out += [f"{thing.colour} {dress}"] if thing.colour else []
    out += [_hair(thing.hair, rng)] if thing.hair else []
    out += [f"{thing.umbrella} umbrella"] if thing.umbrella else []
    rest = out[1:]
    rng.shuffle(rest)
    out = [out[0], *rest]
    if scene.size in say.SIZE_WORDS:
        out.append(rng.choice(say.SIZE_WORDS[scene.size]))
    if scene.place != "centre":
        out.append(rng.choice(say.PLACE_TAGS[scene.place]))
    return out


def tags(scene: Scene, rng: random.Random, loose: float = 0.0) -> str:
    """Booru tags: '1star, yellow, night sky'."""
    out: list[str] = []
    if not scene.things:
        assert scene.background is not None
        out.append(_background_tag(scene.background, rng))
        return ", ".join([*out, rng.choice(("scenery", "landscape", "no humans"))])
    if scene.pair:
        first, second = (_thing(t, rng, loose) for t in scene.things)
        if scene.relation == "above":
            out.append(f"{first} above {second}")
        elif rng.random() < 0.5:
            out += [first, second]
        else:
            out.append(f"{first} left of {second}")
    elif scene.things[0].subject in PEOPLE and scene.count == 1:
        out = _people_tags(scene, rng)
    else:
        out = _one_tags(scene, rng, loose)
    if scene.background is not None:
        more, at = rng.random() < loose, len(out) if rng.random() < 0.75 else 0
        out.insert(at, _background_tag(scene.background, rng, more=more))
    return ", ".join(out)


_STRANGE = "éßяжшавд日本語猫画美漢字한국어그림สวยالعربيةñüö✨❤🎨"


def nonsense(rng: random.Random) -> str:
    """Words the model cannot know, sometimes in a script it cannot spell."""
    words = []
    for _ in range(rng.randint(1, 4)):
        if rng.random() < 0.2:
            words.append("".join(rng.choice(_STRANGE) for _ in range(rng.randint(1, 6))))
        else:
            letters = (rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 9)))
            words.append("".join(letters))
    return " ".join(words)


def _decorate(words: str, rng: random.Random) -> str:
    roll, good = rng.random(), (*say.GOOD, *say.MORE_GOOD)
    if roll < 0.12:
        words = f"{', '.join(rng.sample(good, rng.randint(1, 4)))}, {words}"
    elif roll < 0.24:
        words = f"{words}, {', '.join(rng.sample(good, rng.randint(1, 4)))}"
    if rng.random() < 0.1:
        stray = nonsense(rng)
        words = f"{words}, {stray}" if rng.random() < 0.6 else f"{stray}, {words}"
    if rng.random() < 0.04:
        words += "."
    return words


def caption(scene: Scene, rng: random.Random, loose: float = 0.35) -> str:
    """The scene in words; where it has none, words without a meaning that the model knows."""
    if not scene.things and scene.background is None:
        if rng.random() < 0.3:
            return ", ".join(rng.sample((*say.GOOD, *say.MORE_GOOD), rng.randint(1, 3)))
        return nonsense(rng)
    style = tags if rng.random() < 0.4 else prose
    words = style(scene, rng, loose)
    if scene.things and rng.random() < 0.08:
        article, _, rest = words.partition(" ")
        if article in ("a", "an", "the"):
            words = f"{'a' if article == 'an' else article} {rng.choice(_ADJECTIVES)} {rest}"
    return _decorate(words, rng)


_ADJECTIVES = ("cute", "beautiful", "happy", "smiling", "pretty", "young", "old", "medieval")


def empty(rng: random.Random) -> str:
    """A caption that says nothing about the picture, for the negative prompt's side."""
    if rng.random() < 0.6:
        return ""
    return ", ".join(rng.sample((*say.BAD, *say.MORE_BAD), rng.randint(1, 8)))
