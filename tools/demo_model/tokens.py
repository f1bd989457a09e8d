"""Builds the demo model's tokenizer: CLIP's own kind with one token for each word it knows."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from .words import FIRST_WORDS, MORE_WORDS

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"
# A letter of another script begins with one of these bytes of UTF-8; the rest of it is padding. So
# a prompt of such letters is not an empty one. Each begins as this letter does.
OTHERS = tuple(map(chr, range(0xC2, 0xF5)))
NONSENSE = "q"


def _merges(known: list[str]) -> list[tuple[str, str]]:
    """The pairs that make one token of each word, in their order."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, min_frequency=1, end_of_word_suffix="</w>", show_progress=False
    )
    # Words are weighed by their place in the list, so that ties never decide the merges.
    corpus = [" ".join([word] * (len(known) - i + 5)) for i, word in enumerate(known)]
    bpe.train_from_iterator(corpus, trainer)
    return [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]


def _assembled(first: list[tuple[str, str]], newer: list[tuple[str, str]]) -> CLIPTokenizer:
    """A CLIPTokenizer of the letters and what the pairs make of them."""
    letters = [*_ALPHABET, *(f"{c}</w>" for c in _ALPHABET)]
    made = ["".join(pair) for pair in first], ["".join(pair) for pair in newer]
    # dict.fromkeys: two different merges can make the same token.
    symbols = list(dict.fromkeys([*letters, *made[0], BOS, EOS, *made[1], *OTHERS]))
    vocabulary = {symbol: i for i, symbol in enumerate(symbols)}
    # The list of pairs that tokenizers wants is annotated as a list of strings.
    merges: Any = [*first, *newer]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def make_tokenizer() -> CLIPTokenizer:
    """A CLIPTokenizer; strange words fall into letters, strange letters into their first bytes.

    The first edition's words keep their tokens and ids; what is left of each newer word is then
    put together from the left.
    """
    first, newer = _merges(FIRST_WORDS.split()), list[tuple[str, str]]()
    tokenizer = _assembled(first, newer)
    for word in MORE_WORDS.split():
        pieces: Any = tokenizer.convert_ids_to_tokens(encode(tokenizer, word))
        start, rest = pieces[0], pieces[1:]
        for piece in rest:
            newer.append((start, piece))
            start += piece
        if rest:
            tokenizer = _assembled(first, newer)
    for word in (*FIRST_WORDS.split(), *MORE_WORDS.split()):
        assert len(encode(tokenizer, word)) == 1, word
    return tokenizer


def encode(tokenizer: CLIPTokenizer, text: str) -> list[int]:
    """The text's ids without begin and end."""
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


def pad(tokenizer: CLIPTokenizer, ids: list[int], length: int = LENGTH) -> list[int]:
    """Begin, text, end, and the end again up to the length."""
    kept = ids[: length - 2]
    eos = tokenizer.eos_token_id
    return [tokenizer.bos_token_id, *kept, *[eos] * (length - 1 - len(kept))]
