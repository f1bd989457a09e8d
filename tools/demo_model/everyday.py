"""Two dozen prompts such as a newcomer types first, and what is wanted of each."""

from __future__ import annotations

from .scene import Scene, Thing


def _one(subject: str, background: str | None = None, colour: str | None = None) -> Scene:
    return Scene((Thing(subject, colour),), background)


EVERYDAY: dict[str, Scene] = {
    "a cat": _one("cat"),
    "a cute dog in the rain": _one("dog", "rain"),
    "sunset over the sea": Scene((), "sunset sea"),
    "a girl with a red umbrella": Scene((Thing("girl", umbrella="red"),)),
    "cyberpunk city": Scene((), "night city"),
    "a portrait of a woman": _one("portrait"),
    "a house by the sea": _one("house", "sea"),
    "lighthouse at night": _one("lighthouse", "night sky"),
    "two birds": Scene((Thing("bird"),), count=2),
    "three fish": Scene((Thing("fish"),), count=3),
    "a red sports car": _one("car", None, "red"),
    "a boat in a storm": _one("boat", "storm"),
    "a beautiful landscape, oil painting": Scene((), "mountains"),
    "forest": Scene((), "forest"),
    "a castle in the mountains": _one("castle", "mountains"),
    "a robot in the city": _one("robot", "city"),
    "masterpiece, best quality, 1girl, blue hair, beach": Scene(
        (Thing("girl", hair="blue"),), "beach"
    ),
    "a man walking in the snow": _one("boy", "snow"),
    "red rose": _one("flower", None, "red"),
    "a rocket in space": _one("rocket", "night sky"),
    "a black cat and a white dog": Scene((Thing("cat", "black"), Thing("dog", "white"))),
    "a mountain at sunset": _one("mountain", "sunset"),
    "dragon": Scene(()),
    "日本の夕日": Scene(()),
}
