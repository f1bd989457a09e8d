"""Messages become bytes and come back equal; nothing else comes out of bytes."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.config import EngineConfig
from core.events import Cancelled, Failed, Finished, Image, Progress, Started
from core.models.addons import EmbeddingFile, NetworkFile, UpscalerFile
from core.models.cards import Card
from core.models.catalogue import Model, Vae
from core.models.uses import AddOns, UsedNetwork
from core.models.weights.network_file import NetworkUse
from core.notes import Note
from core.request import Enlarge, GenerationRequest, HiresFix, Inputs
from core.serving.cluster.wire import CLASSES, decode, encode
from core.serving.messages import Abort, Add, Alive, Crashed, Credit, Measured, Ready, Stop
from core.work import Item, Work

CARD = Card("a card", values={"steps": 12, "sampler": "Euler"}, size=(64, 64))
LORA = NetworkFile("l", Path("/loras/l.safetensors"), "sd1", triggers=("red", "blue"))
USED = UsedNetwork("l", LORA, NetworkUse(LORA.path, 0.5, 0.7, blocks=(("IN01", 0.1),)))
WORK = Work(
    7,
    "ada",
    (
        Item(
            GenerationRequest(
                "a “cat” <lora:l:0.5>",
                "m",
                4294967295,
                cfg_scale=7.1,
                inputs=Inputs(b"\0\xff not JSON"),
                hires=HiresFix(2.0, upscaler="big"),
                enlarge=Enlarge(3.0, "big"),
            ),
            Model(
                *("m", Path("/models/m.safetensors"), "file", "sd1", "epsilon", "sd1", (64, 64)),
                sibling_vae=Vae("m", Path("/models/m.vae.safetensors"), "file", "sd1"),
                card=CARD,
            ),
            Vae("v", Path("/vaes/v.safetensors"), "file", "sd1"),
            AddOns((USED,), (USED,), (EmbeddingFile("e", Path("/embeddings/e.safetensors")),)),
            UpscalerFile("big", Path("/upscalers/big.safetensors"), 4),
        ),
    ),
    priority=1,
)
MESSAGES = [
    *(Add(WORK), Abort(7), Stop(), Ready("a card"), Alive(), Crashed("why", final=True)),
    *(Credit(3, ("m",), (1, 2)), Credit(0, ()), Started(7), Cancelled(7), EngineConfig()),
    Measured({"m 512x512": {2: 0.25, 4: 0.4}}),
    *(Progress(7, 1, 20), Progress(7, 2, 20, b"\x89PNG")),
    Finished(7, (Image(b"\x89PNG" * 9, 4294967295, 64, 64, "a cat\nSteps: 1"),) * 2, seconds=1.5),
    Finished(7, (), (Note.of("networks_many", limit=3), Note.of("x", names=("a", "b")))),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_every_message_comes_back(message: object) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("name", [n for n, c in CLASSES.items() if issubclass(c, Exception)])
def test_every_error_comes_back(name: str) -> None:
    of: Any = CLASSES[name]
    error = of(**{each.name: f"its {each.name}" for each in fields(of)})
    failed = decode(encode(Failed(1, error)))
    assert type(failed.error) is of
    assert vars(failed.error) == vars(error)
    assert errors.PenultimateError in of.__mro__


def test_files_are_named_as_the_other_computer_has_them() -> None:
    there = {path: Path("/theirs") / path.name for path in WORK.files}
    assert len(there) == 5
    moved = decode(encode(Add(WORK), there)).work
    assert set(moved.files) == set(there.values())
    assert moved.items[0].addons.networks[0].use.path == Path("/theirs/l.safetensors")
    assert moved.request == WORK.request


def test_what_is_no_message_is_not_written() -> None:
    with pytest.raises(TypeError, match="Queue is in no message"):
        encode(Failed(1, __import__("queue").Queue()))


class Stranger:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return print, ("run",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff\xff\xff",
        pickle.dumps(Stranger()),
        encode(Abort(1)).replace(b"Abort", b"Popen"),
        encode(Abort(1)).replace(b"job_id", b"jobbed"),
        encode(Progress(1, 1, 2, b"png")).replace(b'["b", 0]', b'["b", 9]'),
        encode(Add(WORK)).replace(b"4294967295", b"9999999999"),
        (lambda text: len(text).to_bytes(4, "big") + text)(
            b'{"blobs": [], "value": ' + b'["t", ' * 5000 + b"1" + b"]" * 5000 + b"}"
        ),
    ],
)
def test_anything_else_is_refused(data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no message"):
        decode(data)
    assert capsys.readouterr().out == ""


@given(st.binary())
def test_no_bytes_do_harm(data: bytes) -> None:
    with pytest.raises(ValueError, match="no message"):
        decode(data)
