"""Letters that look alike, read as one: what a reader sees, whatever alphabet it is written in.

The letters of other alphabets are those of Unicode's confusables (UTS 39) that resemble a to z in
common typefaces; Latin letters with a difference are known by their Unicode names.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

# The same shape in any typeface, so that a whole word of them passes for a Latin one: Greek,
# Cyrillic, Armenian, Cherokee, Coptic, Lisu, Canadian syllabics, a few signs and IPA letters.
_ALIKE: Final = {
    "a": "αаꭺᎪᗅᗩꓮ⍺ɑ",
    "b": "ᏴᏏᗷᑲꓐ♭",
    "c": "ϲсⲥᏟꓚᑕᑢ",
    "d": "ԁᎠᏧᗞᗪᑯꓓꓒ",
    "e": "еҽᎬꓰⴹ℮ə",
    "f": "ϝքᖴꓝ",
    "g": "ԍցᏀꓖ",
    "h": "һհᎻᏂᕼꓧ",
    "i": "ιіӏꙇᎥɩꙆ",
    "j": "ϳјյᎫᒍꓙ",
    "k": "ᏦꓗᛕⲕᏥ",
    "l": "ⳑᏞᒪꓡⵏᛁǀլ",
    "m": "ᎷᗰꓟⲙϻᛖᎹ",
    "n": "ոռղᑎꓠⲛ",
    "o": "οоօⲟⵔꓳ〇ߋჿ",
    "p": "ρрⲣᏢᑭꓑ⍴ϱ",
    "q": "ԛզգᑫ",
    "r": "ᎡᏒᖇꓣⲅ",
    "s": "ѕᏕᏚꓢᔕՏ",
    "t": "ᎢꓔⲧꚌ⊤",
    "u": "υսᑌꓴ∪",
    "v": "νѵᏙᐯꓦⴸ∨",
    "w": "ԝѡաᎳᏔᗯꓪ",
    "x": "хᕁ᙭ⵝꓫ×⨯ⲭ",
    "y": "γуүᎩᎽꓬⲩყ",
    "z": "ᏃꓜᘔⲌ",
}
# Like a Latin letter only in capitals.
_CAPITALS: Final = "ВB КK МM НH ТT ΒB ΕE ΖZ ΗH ΚK ΜM ΝN ΤT ΥY ΧX"
# Like one only beside Latin letters: “рот” is a Russian word and no “pot”.
_ROUGHLY: Final = (
    "вb зe иu иn кk лn мm нh пn тt чy шw ьb ъb эe яr гr дd жx цu фo юo щw "
    "βb δd εe ζz ηn θo κk λa μu πn σo ςc τt φo χx ωw ψw ξe"
)
# Digits and signs for letters.
_LEET: Final = "0o 1i 1l 3e 4a 5s 7t 8b 9g @a $s !i |l €e +t"

# What a Latin letter's name ends with: “… LETTER B WITH HOOK”, “… SMALL CAPITAL B”.
_NAMED: Final = re.compile(r"(?:.*\bLATIN|REGIONAL INDICATOR)\b.* ([A-Z])(?: WITH .+)?")
# Marks of no script of their own, and what is drawn as nothing though it is not said to be.
_PASSED_OVER: Final = re.compile(
    "[\u0300-\u036f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u2065"
    "\u20d0-\u20ff\u2800\u3164\ufe00-\ufe0f\ufe20-\ufe2f\uffa0\ufff0-\ufff8"
    "\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

# Beside which letters a reading is believed, and what it takes: flags of a word that is read.
LATIN: Final = 1
OTHER: Final = 2
LEET: Final = 4
ROUGH: Final = 8
CUT: Final = 16


def _pairs(pairs: str) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for pair in pairs.split():
        table.setdefault(pair[0], []).append(pair[1])
    return table


# A letter that only looks Latin becomes a capital: what is Latin itself is in lower case.
_SHAPES: Final = {
    form: latin.upper()
    for latin, letters in _ALIKE.items()
    for letter in letters
    for form in (letter, letter.casefold(), letter.upper())
    if len(form) == 1
}
_CAPITAL: Final = {pair[0]: pair[1].lower() for pair in _CAPITALS.split()}
_ROUGH: Final = _pairs(_ROUGHLY)
# And the other way round: a Latin letter in a word of another alphabet.
_BACK: Final = _pairs(" ".join(pair[::-1] for pair in _ROUGHLY.split()))
_LETTERS: Final = _pairs(_LEET)


class _Fold(dict[int, str]):
    """For ``str.translate``; the letters of a large script are not kept."""

    def __missing__(self, code: int) -> str:
        return _folded(chr(code))


_FOLD: Final = _Fold()


def fold(text: str) -> str:
    """``text`` with one sign for all that look alike, and nothing invisible.

    a to z are Latin letters however adorned, A to Z letters that look like them; other letters
    and digits stay, in lower case unless it is the capital that looks Latin. White space is
    ``" "``, a sign stays.
    """
    return unicodedata.normalize("NFKC", text).translate(_FOLD)


@lru_cache(maxsize=8192)
def _folded(character: str) -> str:
    category = unicodedata.category(character)
    if character in _CAPITAL:
        return character
    if character in _SHAPES:
        return _SHAPES[character]
    if character.isspace():
        return " "
    if category in ("Cc", "Cf") or _PASSED_OVER.match(character):
        return ""
    plain = unicodedata.normalize("NFKC", character).casefold()
    if plain != character:
        return "".join(map(_folded, plain))
    if character.isascii():
        return character
    if category == "Nd":
        return str(unicodedata.decimal(character))
    named = _NAMED.fullmatch(unicodedata.name(character, ""))
    if named is not None and category[0] != "M":
        return named[1].lower()
    base = unicodedata.normalize("NFD", character)[0]
    if base != character and (below := _folded(base)).isascii():
        return below
    return character


@lru_cache(maxsize=8192)
def readings(character: str) -> tuple[tuple[str, int], ...]:
    """What a folded letter, digit or sign may stand for, each with its flags; itself first."""
    if not character.isalpha():
        itself_too = ((character, 0),) if character.isalnum() else ()
        return (*itself_too, *((letter, LEET) for letter in _LETTERS.get(character, ())))
    if character.isascii():
        itself = LATIN if character.islower() else OTHER
        rough = _BACK.get(character, ())
    else:
        itself, rough = OTHER, _ROUGH.get(character.lower(), ())
    # The letter itself, as its small form is read.
    read = [(_folded(character.lower()).lower(), itself)]
    if character in _CAPITAL:
        read.append((_CAPITAL[character], itself))
    return (*read, *((letter, itself | ROUGH) for letter in rough))


def believed(flags: int) -> bool:
    """Whether a word read so is a word: digits for letters need a letter beside them, and rough
    resemblance needs both alphabets."""
    letters = flags & (LATIN | OTHER)
    return (not flags & LEET or letters != 0) and (not flags & ROUGH or letters == LATIN | OTHER)
