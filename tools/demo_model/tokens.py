"""Builds the demo model's tokenizer: CLIP's own kind with one token for each word it knows."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from . import captions

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"


def make_tokenizer() -> CLIPTokenizer:
    """A CLIPTokenizer; strange words fall into letters, strange letters into padding."""
    known = captions.words()
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, min_frequency=1, end_of_word_suffix="</w>", show_progress=False
    )
    # Words are weighed by their place in the list, so that ties never decide the merges.
    corpus = [" ".join([word] * (len(known) - i + 5)) for i, word in enumerate(known)]
    bpe.train_from_iterator(corpus, trainer)
    # The list of pairs that tokenizers wants is annotated as a list of strings.
    merges: Any = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    symbols = [*_ALPHABET, *(f"{c}</w>" for c in _ALPHABET)]
    # dict.fromkeys: two different merges can make the same token.
    symbols = list(dict.fromkeys([*symbols, *("".join(pair) for pair in merges), BOS, EOS]))
    vocabulary = {symbol: i for i, symbol in enumerate(symbols)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)
    for word in known:
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
