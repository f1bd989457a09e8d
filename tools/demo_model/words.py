"""The words that captions are made of."""

from __future__ import annotations

NOUNS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "ball", "disc"),
    "square": ("square", "square", "box", "cube"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "moon": ("moon", "moon", "crescent"),
    "cross": ("cross",),
    "sun": ("sun",),
    "cat": ("cat", "cat", "cat", "kitten", "kitty"),
    "dog": ("dog", "dog", "dog", "puppy"),
    "bird": ("bird", "bird", "bird", "chick", "duck", "parrot"),
    "fish": ("fish", "fish", "fish", "goldfish"),
    "house": ("house", "house", "house", "cottage", "hut", "home"),
    "castle": ("castle", "castle", "fortress", "palace"),
    "lighthouse": ("lighthouse",),
    "tree": ("tree",),
    "flower": ("flower", "flower", "flower", "rose", "tulip", "daisy"),
    "mushroom": ("mushroom",),
    "mountain": ("mountain", "mountain", "volcano", "peak"),
    "boat": ("boat", "boat", "ship", "sailboat"),
    "car": ("car", "car", "car", "truck", "taxi"),
    "rocket": ("rocket", "rocket", "spaceship", "spacecraft"),
    "robot": ("robot", "robot", "android", "mecha"),
    "snowman": ("snowman",),
    "apple": ("apple", "apple", "apple", "fruit", "tomato"),
    "cup": ("cup", "cup", "mug", "cup of coffee", "cup of tea"),
    "girl": ("girl", "girl", "woman", "lady", "princess", "person", "witch"),
    "boy": ("boy", "boy", "man", "person", "knight", "wizard", "prince"),
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
    "snowman": "snowmen",
    "spacecraft": "spacecraft",
    "cup of coffee": "cups of coffee",
    "cup of tea": "cups of tea",
}
COUNTS = {2: ("two", "two", "2", "a pair of"), 3: ("three", "three", "3")}
TEXTURE_WORDS = {
    "striped": ("striped", "striped", "stripy"),
    "spotted": ("spotted", "dotted", "polka dot"),
}
HAIR_WORDS = {"yellow": ("blonde", "blond", "yellow"), "brown": ("brown", "brown", "brunette")}
SIZE_WORDS = {"small": ("small", "tiny", "little"), "large": ("large", "big", "huge", "giant")}
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
    "night sky": (
        "in the night sky",
        "in the night sky",
        "at night",
        "in a starry night sky",
        "under the stars",
        "in space",
        "at midnight",
    ),
    "grass field": (
        "on a grass field",
        "in a grass field",
        "on the grass",
        "in a field",
        "in a meadow",
        "in the garden",
        "in the park",
        "under a blue sky",
    ),
    "sea": ("at sea", "in the sea", "by the sea", "in the ocean", "on the water", "on a lake"),
    "snow": ("in the snow", "on the snow", "in a snow field", "in winter"),
    "sunset": ("at sunset", "in the sunset", "in front of a sunset", "at dusk", "at sunrise"),
    "mountains": ("in the mountains", "in front of mountains", "with mountains", "by the hills"),
    "forest": ("in the forest", "in a forest", "in the woods", "in the jungle"),
    "beach": ("on the beach", "at the beach", "on the sand", "in summer"),
    "city": ("in the city", "in a city", "on the street", "in front of a skyline", "downtown"),
    "rain": ("in the rain", "in the rain", "on a rainy day"),
    "storm": ("in a storm", "in the storm", "in a thunderstorm", "with lightning"),
}
SCENE_TAGS = {
    "night sky": ("night sky", "night", "starry sky", "stars", "space", "galaxy"),
    "grass field": ("grass field", "grass", "field", "meadow", "garden", "outdoors"),
    "sea": ("sea", "ocean", "water", "lake"),
    "snow": ("snow", "winter", "snowy"),
    "sunset": ("sunset", "dusk", "sunrise", "dawn"),
    "mountains": ("mountains", "hills", "mountain background"),
    "forest": ("forest", "woods", "jungle"),
    "beach": ("beach", "sand", "summer"),
    "city": ("city", "street", "skyline", "cityscape"),
    "rain": ("rain", "raining", "rainy"),
    "storm": ("storm", "thunderstorm", "lightning", "stormy"),
}
LANDSCAPES = {
    "night sky": ("a starry sky", "the night sky", "a galaxy", "outer space", "stars at night"),
    "grass field": ("a grass field", "a green meadow", "a field under a blue sky", "a garden"),
    "sea": ("the sea", "the ocean", "a lake", "a calm sea", "waves"),
    "snow": ("a snow field", "a snowy landscape", "a winter landscape", "falling snow"),
    "sunset": ("a sunset", "a beautiful sunset", "the sunset", "a sunrise", "sunset sky"),
    "mountains": ("mountains", "a mountain landscape", "hills", "snowy mountains"),
    "forest": ("a forest", "a dark forest", "the woods", "a jungle"),
    "beach": ("a beach", "a sunny beach", "a tropical beach", "an island"),
    "city": ("a city", "a city skyline", "a cityscape", "a city at dusk", "a futuristic city"),
    "rain": ("rain", "a rainy day", "rain clouds"),
    "storm": ("a storm", "a thunderstorm", "a stormy sky", "lightning"),
}
_GOOD = """
masterpiece, best quality, high quality, highly detailed, very detailed, detailed, absurdres,
highres, 4k, 8k, hd, uhd, beautiful, cute, illustration, flat color, vector art, digital art,
cartoon, colorful, solo, no humans, simple, sharp, clean, professional, artwork, painting,
intricate, amazing quality, photorealistic, realistic, hyperrealistic, photography, cinematic,
cinematic lighting, dramatic lighting, soft lighting, volumetric lighting, studio lighting, anime,
anime style, manga, oil painting, watercolor, pencil sketch, concept art, fantasy, fantasy art,
trending on artstation, unreal engine, octane render, 3d render, bokeh, depth of field,
sharp focus, ultra detailed, extremely detailed, portrait, close up, wide angle, epic, magical,
pixel art, minimalist, cozy, happy, smiling, aesthetic, award winning, full body, looking at viewer,
standing, sitting, simple background, vivid colors, pastel, dark, bright, retro, studio ghibli
"""
GOOD = tuple(_GOOD.strip().replace("\n", " ").split(", "))
_BAD = """
lowres, blurry, worst quality, low quality, normal quality, bad quality, bad anatomy, bad hands,
extra fingers, missing fingers, watermark, text, signature, username, jpeg artifacts, cropped,
ugly, deformed, error, out of frame, noise, messy, distorted, duplicate, mutated, disfigured, nsfw,
extra limbs, bad proportions, grainy, logo
"""
BAD = tuple(_BAD.strip().replace("\n", " ").split(", "))
OPENINGS = (
    "a picture of",
    "an image of",
    "a drawing of",
    "a photo of",
    "an illustration of",
    "a painting of",
    "a sketch of",
    "a cartoon of",
    "draw",
    "show me",
)
FILLER = (
    "a an the of in on at with and to left right next beside side by above below under over",
    "front plain background colored coloured style is there two grey gray his her wearing dress",
    "shirt hair red old young little some many one from for my near behind playing running flying",
    "swimming sleeping walking driving sailing please wide clear black and white magic",
)
