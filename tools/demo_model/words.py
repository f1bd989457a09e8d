"""The words that captions are made of; those of the first edition stand apart from the rest."""

from __future__ import annotations

NOUNS: dict[str, tuple[str, ...]] = {
    "circle": ("ball", "disc"),
    "square": ("box", "cube"),
    "moon": ("crescent",),
    "cat": ("kitten", "kitty"),
    "fish": ("goldfish",),
    "house": ("cottage", "hut", "home"),
    "flower": ("rose", "tulip", "daisy"),
    "dog": ("puppy",),
    "bird": ("chick", "duck", "parrot"),
    "boat": ("ship", "sailboat"),
    "car": ("sports car", "truck", "taxi"),
    "mountain": ("volcano", "peak"),
    "girl": ("girl", "woman", "lady", "princess", "person", "witch"),
    "boy": ("boy", "man", "person", "knight", "wizard", "prince"),
    "portrait": (
        "portrait of a woman",
        "portrait of a girl",
        "portrait of a person",
        "portrait of a lady",
        "face",
    ),
    "castle": ("fortress", "palace"),
    "robot": ("android", "mecha"),
    "rocket": ("spaceship", "astronaut"),
}
PLURALS = {
    "fish": "fish",
    "goldfish": "goldfish",
    "box": "boxes",
    "cross": "crosses",
    "puppy": "puppies",
    "kitty": "kitties",
    "lady": "ladies",
    "daisy": "daisies",
    "fortress": "fortresses",
    "princess": "princesses",
    "witch": "witches",
    "person": "people",
    "woman": "women",
    "man": "men",
}
COUNTS = {2: ("two", "2", "a pair of"), 3: ("three", "3")}
HAIR_WORDS = {"yellow": ("blonde", "blond", "yellow")}
SIZE_WORDS = {"small": ("small", "tiny", "little"), "large": ("large", "big", "huge")}
PLACE_PROSE = {
    "left": ("on the left", "on the left side", "at the left"),
    "right": ("on the right", "on the right side", "at the right"),
    "top": ("at the top", "on the top"),
    "bottom": ("at the bottom", "on the bottom"),
    "centre": ("in the middle", "in the center", "in the centre"),
    "top left": ("in the top left corner", "at the top left", "in the upper left corner"),
    "top right": ("in the top right corner", "at the top right", "in the upper right corner"),
    "bottom left": ("in the bottom left corner", "at the bottom left", "in the lower left corner"),
    "bottom right": (
        "in the bottom right corner",
        "at the bottom right",
        "in the lower right corner",
    ),
}
PLACE_TAGS = {
    "left": ("left", "on the left", "left side"),
    "right": ("right", "on the right", "right side"),
    "top": ("top", "at the top"),
    "bottom": ("bottom", "at the bottom"),
    "centre": ("centered", "center", "middle"),
    "top left": ("top left", "top left corner", "upper left"),
    "top right": ("top right", "top right corner", "upper right"),
    "bottom left": ("bottom left", "bottom left corner", "lower left"),
    "bottom right": ("bottom right", "bottom right corner", "lower right"),
}
SCENE_PROSE = {
    "night sky": ("in the night sky", "in the night sky", "at night", "in a starry night sky"),
    "grass field": ("on a grass field", "in a grass field", "on the grass", "in a field"),
    "sea": ("at sea", "in the sea", "by the sea", "in the ocean"),
    "snow": ("in the snow", "on the snow", "in a snow field"),
    "sunset": ("at sunset", "in the sunset", "in front of a sunset"),
    "mountains": ("in the mountains", "in front of mountains", "with mountains", "on a hill"),
    "forest": ("in the forest", "in a forest", "in the woods", "in the jungle"),
    "beach": ("on the beach", "at the beach", "on the sand", "in summer"),
    "city": ("in the city", "in a city", "on the street", "in front of a skyline"),
    "night city": ("in the city at night", "in a cyberpunk city", "in a neon city"),
    "desert": ("in the desert", "in a desert", "among cactus"),
    "rain": ("in the rain", "in the rain", "on a rainy day"),
    "storm": ("in a storm", "in the storm", "in a thunderstorm", "with lightning"),
    "sunset sea": ("at sunset by the sea", "at sea at sunset", "on the beach at sunset"),
}
MORE_PROSE = {
    "night sky": ("under the stars", "in space", "at midnight", "in outer space"),
    "grass field": ("in a meadow", "in the garden", "in the park", "under a blue sky"),
    "sea": ("on the water", "on a lake", "underwater"),
    "snow": ("in winter", "walking in the snow"),
    "sunset": ("at dusk", "at sunrise"),
}
SCENE_TAGS = {
    "night sky": ("night sky", "night", "starry sky"),
    "grass field": ("grass field", "grass", "field"),
    "sea": ("sea", "ocean"),
    "snow": ("snow",),
    "sunset": ("sunset",),
    "mountains": ("mountains", "hills", "mountain background"),
    "forest": ("forest", "woods", "jungle"),
    "beach": ("beach", "sand", "summer"),
    "city": ("city", "street", "skyline", "cityscape"),
    "night city": ("cyberpunk city", "cyberpunk", "neon", "city at night"),
    "desert": ("desert", "cactus"),
    "rain": ("rain", "raining", "rainy"),
    "storm": ("storm", "thunderstorm", "lightning", "stormy"),
    "sunset sea": ("sunset, sea", "sunset, ocean", "sunset, beach"),
}
MORE_TAGS = {
    "night sky": ("stars", "space", "galaxy"),
    "grass field": ("meadow", "garden", "outdoors", "blue sky"),
    "sea": ("water", "lake"),
    "snow": ("winter", "snowy"),
    "sunset": ("dusk", "sunrise"),
}
LANDSCAPES = {
    "night sky": ("a starry sky", "the night sky", "a galaxy", "outer space", "stars at night"),
    "grass field": ("a grass field", "a green meadow", "a field under a blue sky", "a garden"),
    "sea": ("the sea", "the ocean", "a lake", "a calm sea", "waves", "water"),
    "snow": ("a snow field", "a snowy landscape", "a winter landscape", "falling snow"),
    "mountains": (
        "mountains",
        "a mountain landscape",
        "hills",
        "snowy mountains",
        "a landscape",
        "a beautiful landscape",
        "scenery",
    ),
    "forest": ("a forest", "a dark forest", "the woods", "a jungle", "trees"),
    "beach": ("a beach", "a sunny beach", "a tropical beach", "an island"),
    "city": ("a city", "a city skyline", "a cityscape", "a street", "skyline"),
    "night city": ("a cyberpunk city", "a city at night", "a futuristic city", "a neon city"),
    "desert": ("a desert", "a desert landscape", "sand dunes", "a cactus"),
    "rain": ("rain", "a rainy day", "rain clouds"),
    "storm": ("a storm", "a thunderstorm", "a stormy sea", "lightning"),
    "sunset sea": (
        "a sunset",
        "sunset over the sea",
        "a sunset over the ocean",
        "a sunset beach",
        "a sunrise",
        "a beautiful sunset",
        "sunset sky",
    ),
}


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


GOOD = _phrases("""
    masterpiece, best quality, high quality, highly detailed, very detailed, detailed,
    absurdres, highres, 4k, 8k, hd, beautiful, cute, illustration, flat color, vector art,
    digital art, cartoon, colorful, solo, no humans, simple, sharp, clean, professional,
    artwork, painting, intricate, amazing quality
""")
MORE_GOOD = _phrases("""
    uhd, photorealistic, realistic, photography, cinematic, cinematic lighting, dramatic lighting,
    soft lighting, anime, anime style, manga, oil painting, watercolor, pencil sketch, concept art,
    fantasy, fantasy art, trending on artstation, unreal engine, octane render, 3d render, bokeh,
    depth of field, sharp focus, ultra detailed, close up, epic, magical, pixel art, minimalist,
    cozy, happy, smiling, aesthetic, award winning, full body, looking at viewer, standing, sitting,
    vivid colors, pastel, dark, bright, retro, studio ghibli, sleeping, playing, running, flying
""")
BAD = _phrases("""
    lowres, blurry, worst quality, low quality, normal quality, bad quality, bad anatomy,
    bad hands, watermark, text, signature, username, jpeg artifacts, cropped, ugly,
    deformed, error, out of frame, noise, messy, distorted, duplicate
""")
MORE_BAD = _phrases("""
    extra fingers, missing fingers, mutated, disfigured, nsfw, extra limbs, bad proportions,
    grainy, logo
""")
OPENINGS = ("a picture of", "an image of", "a drawing of", "a photo of", "an illustration of")
MORE_OPENINGS = ("a painting of", "a sketch of", "a cartoon of", "draw", "show me")
# What the tokenizer knows as one token each; it spells other words in pieces. First those of the
# first edition, in the order that their merges come from, then newer ones: each costs some bytes.
FIRST_WORDS = """
    circle square triangle star heart moon cross cat fish house tree flower mushroom red orange
    yellow green blue purple pink white black brown gray night sky grass field sea snow sunset
    masterpiece best quality high highly detailed very absurdres highres hd beautiful cute
    illustration flat color vector art digital cartoon colorful solo no humans simple sharp clean
    professional artwork painting intricate amazing lowres blurry worst low normal bad anatomy
    hands watermark text signature username jpeg artifacts cropped ugly deformed error out of frame
    noise messy distorted duplicate a picture an image drawing photo the in on at with and to left
    right next beside side by above below under over front plain background colored coloured style
    is there two grey small tiny little large big huge top bottom middle center centre centered
    starry ocean
"""
MORE_WORDS = """
    dog bird boat car lighthouse mountain girl boy portrait castle robot rocket kitten puppy ship
    woman man person knight princess spaceship face dogs birds boats cars mountains girls boys cats
    stars hearts flowers houses trees circles people women men three pair corner upper lower rain
    rainy storm lightning city forest beach desert winter cyberpunk neon street woods garden meadow
    park space hill lake water landscape summer sunrise snowy hair dress shirt umbrella blonde
    holding wearing young old anime realistic lighting photography oil happy smiling dark draw show
    her near walking
"""
