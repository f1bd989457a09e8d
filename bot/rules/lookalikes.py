"""Folding of letters that look alike to one letter, whatever alphabet they are from.

The letters of other alphabets are those of Unicode's confusables (UTS 39) that resemble a to z in
common typefaces; variants of Latin letters are recognised by their Unicode names.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

# The same shape in any typeface, so that a whole word of them looks Latin: Greek, Cyrillic,
# Armenian, Cherokee, Coptic, Lisu, Canadian syllabics, a few signs and IPA letters.
_SAME: Final = (
    "aαаꭺᎪᗅᗩꓮ⍺ɑ bᏴᏏᗷᑲꓐ♭ cϲсⲥᏟꓚᑕᑢ dԁᎠᏧᗞᗪᑯꓓꓒ eеҽᎬꓰⴹ℮ə fϝքᖴꓝ gԍցᏀꓖ hһհᎻᏂᕼꓧ iιіӏꙇᎥɩ jϳјյᎫᒍꓙ kᏦꓗᛕⲕᏥ "
    "lⳑᏞᒪꓡⵏᛁǀլ mᎷᗰꓟⲙϻᛖᎹ nոռղᑎꓠⲛ oοоօⲟⵔꓳ〇ߋჿ pρрⲣᏢᑭꓑ⍴ϱ qԛզգᑫ rᎡᏒᖇꓣⲅ sѕᏕᏚꓢᔕՏ tᎢꓔⲧꚌ⊤ uυսᑌꓴ∪ "
    "vνѵᏙᐯꓦⴸ∨ wԝѡաᎳᏔᗯꓪ xхᕁ᙭ⵝꓫ×⨯ⲭ yγуүᎩᎽꓬⲩყ zᏃꓜᘔⲌ"
)
# Like a Latin letter only in capitals.
_CAPITALS: Final = str.maketrans("ВКМНТΒΕΖΗΚΜΝΤΥΧ", "BKMHTBEZHKMNTYX")
# Like one only beside Latin letters: “рот” is a Russian word and no “pot”.
_ROUGHLY: Final = str.maketrans(
    "взиклмнптчшьъэягджцфющβδεζηθκλμπσςτφχωψξ", "benknmhntywbberrdxuowwbdeznokaunoctoxwwe"
)
# Digits and signs for letters; 1 stands for i as well as l, so these two are folded to one.
_LEET: Final = str.maketrans("01345789@$!€i", "oleastbgaslel")
_LEET_SIGNS: Final = frozenset("01345789@$!€")

# Names of variants of Latin letters: “… LETTER B WITH HOOK”, “… SMALL CAPITAL B”.
_NAMED: Final = re.compile(r"(?:.*\bLATIN|REGIONAL INDICATOR)\b.* ([A-Z])(?: WITH .+)?")
# Marks of no particular script, and characters that are drawn as nothing despite their category.
_IGNORED: Final = re.compile(
    "[\u0300-\u036f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u2065"
    "\u20d0-\u20ff\u2800\u3164\ufe00-\ufe0f\ufe20-\ufe2f\uffa0\ufff0-\ufff8"
    "\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Scripts that are written without spaces.
UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")

_ALIKE: Final = {form.casefold(): same[0] for same in _SAME.split() for form in same[1:]}


def fold(word: str) -> str:
    """Reduce ``word`` to lower case, one letter for all that look the same, none invisible."""
    return "".join(map(_folded, word))


@lru_cache(maxsize=8192)
def _folded(character: str) -> str:
    plain = character.casefold()
    if plain in _ALIKE:
        return _ALIKE[plain]
    if unicodedata.category(character) in ("Cc", "Cf") or _IGNORED.match(character):
        return ""
    if plain != character:
        return fold(plain)
    if named := _NAMED.fullmatch(unicodedata.name(character, "")):
        return named[1].lower()
    # A letter with a mark is folded to the letter without it, if that is Latin.
    base = unicodedata.normalize("NFD", character)[0]
    below = fold(base) if base != character else character
    return below if below.isascii() else character


def pieces(folded: str) -> list[str]:
    """Split a folded word at its punctuation, and around scripts without spaces.

    A mark belongs to a letter of its own script, and is ignored after a to z.
    """
    text = ""
    for character in folded:
        if character.isalnum():
            text += character
        elif unicodedata.category(character)[0] != "M":
            text += " "
        elif not text[-1:].isascii():
            text += character
    return UNSPACED.sub(r" \g<0> ", text).split()


def skeleton(word: str, *, rough: bool) -> str:
    """Reduce ``word`` to Latin letters: capitals by shape, digits and signs by the letters they
    stand for; with ``rough`` also letters that only resemble Latin ones."""
    text = fold(word.translate(_CAPITALS))
    text = text.translate(_ROUGHLY) if rough else text
    return "".join(pieces(text.translate(_LEET)))


@lru_cache(maxsize=2048)
def disguise(word: str) -> str:
    """Return the :func:`skeleton` of a word that may be disguised, else ``""``.

    A disguise has digits or signs among letters, capitals of another alphabet, or letters of two
    alphabets; only the last is read roughly.
    """
    word = word.rstrip("!")
    letters = [letter for letter in set(word) if fold(letter).isalpha()]
    latin = {fold(letter).isascii() and letter.casefold() not in _ALIKE for letter in letters}
    signs = letters and not _LEET_SIGNS.isdisjoint(word)
    if signs or len(latin) == 2 or word.translate(_CAPITALS) != word:
        return skeleton(word, rough=len(latin) == 2)
    return ""
