"""The errors of the core, one class hierarchy.

An error carries fields; its ``str()`` is plain English for a terminal. The sentence for a member
is made from the class and the fields in ``bot/errors.py``.

    PenultimateError
    ├── InvalidRequest        a value outside its range
    ├── UnknownName           no such model, VAE or sampler
    ├── AmbiguousName         a name that several files have
    ├── Refused               a file that will not be loaded, and why
    ├── VaeMismatch           a VAE made for another latent space
    ├── NetworkMismatch       a LoRA or embedding made for another family
    ├── NetworkLimit          too many LoRAs, or a weight out of range
    ├── UnreadablePicture     an uploaded file that is no usable picture
    ├── SheetTooLarge         an X/Y sheet of too many values or cells
    ├── TooLarge              an enlarged image over the limit
    ├── QueueFull             the queue, or this owner's part of it, is full
    ├── OutOfMemory           does not fit on the device, even alone
    ├── NotFinite             a model or VAE gave NaN in the place of an image
    ├── EngineCrashed         the engine died twice with only this job running
    └── EngineStopped         the engine is stopped and accepts no jobs
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, dataclass_transform


def _restore(cls: type[PenultimateError], values: dict[str, Any]) -> PenultimateError:
    return cls(**values)


@dataclass_transform(eq_default=False)
@dataclass(eq=False)
class PenultimateError(Exception):
    """The base class; each class below it is a dataclass by itself.

    Picklable, because errors are sent from the engine process to the bot.
    """

    # What str() says; placeholders are the fields.
    message: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        dataclass(eq=False)(cls)

    def __str__(self) -> str:
        return self.message.format_map(vars(self)).strip() or type(self).__name__

    def __reduce__(self) -> Any:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return _restore, (type(self), values)


ALLOWED: Final = {
    "range": "{low} to {high}",
    "multiple": "a multiple of {step} from {low} to {high}",
    "at_most": "at most {high} characters",
    "length": "{low} to {high} characters",
    "versions": "at most {high} characters in all its versions",
    "size": "width x height, like 512x768",
    "numbers": "values like 1-12 or 5, 7, 11",
    "names": "values with commas between",
    "contains": "a text that contains the first value",
    "settings": "steps, CFG scale and size, like 20, 7, 512x512",
    "text": "a text",
    "yes_no": "yes or no",
}


class InvalidRequest(PenultimateError):
    """``value`` is not what ``field`` allows.

    ``allowed`` is a key of :data:`ALLOWED`, so that it can be translated; ``low``, ``high`` and
    ``step`` fill its placeholders. Where a text is too long, ``value`` is its length.
    """

    field: str
    value: str
    allowed: str
    low: float = 0
    high: float = 0
    step: int = 1

    @property
    def bounds(self) -> dict[str, str]:
        """``low``, ``high`` and ``step`` in digits, without an exponent (2³²−1, not 4.3e+09)."""
        return {name: f"{getattr(self, name):.12g}" for name in ("low", "high", "step")}

    def __str__(self) -> str:
        allowed = ALLOWED.get(self.allowed, self.allowed).format(**self.bounds)
        return f"{self.field} must be {allowed}, not {self.value}"


class UnknownName(PenultimateError):
    """No ``kind`` (model, VAE, sampler …) has this ``name``; ``close`` are similar names."""

    kind: str
    name: str
    close: tuple[str, ...] = ()

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(self.close)}?" if self.close else ""
        return f"there is no {self.kind} called {self.name!r}{hint}"


class AmbiguousName(PenultimateError):
    """Several files of this ``kind`` are called ``name``; ``names`` are theirs alone."""

    kind: str
    name: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name!r} is the name of several files: {', '.join(self.names)}"


REFUSALS: Final = {
    "pickle": "is a pickle, which can run code; python run.py convert makes a .safetensors of it",
    "truncated": "is cut off or was not fully downloaded; download it again",
    "unreadable": "cannot be read: {detail}",
    "family": "is {detail}, which this bot does not run",
    "channels": "has {detail} latent channels; Stable Diffusion 1, 2 and XL use 4",
    "missing": "lacks {detail}; the file is not complete",
    "damaged": "has NaN or infinity in {detail}, so every picture would be black",
    "memory": "does not fit in the device's memory: {detail}",
    "nowhere": "is on none of the cluster's computers",
    "wrong_kind": "is {detail}",
    "too_large": "is too large to be used ({detail})",
    "short_name": "has a name that stands for a word in most prompts; rename its file",
    "no_rank": "has layers of rank 0, which change nothing; it was saved wrongly",
    "not_finite": "holds values that are not numbers; it is damaged or was trained wrongly",
}


class Refused(PenultimateError):
    """A file or folder that is not loaded.

    ``reason`` is a key of :data:`REFUSALS`, so that it can be translated. ``detail`` is, by
    reason: ``family`` and ``wrong_kind`` what it is instead, ``channels`` their number, ``missing``
    what is missing, ``damaged`` the weight that is not finite, ``too_large`` how large, ``memory``
    the gigabytes there are and it needs. It is plain English for the owner, whose file it is.
    """

    kind: str
    name: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        sentence = REFUSALS.get(self.reason, "{detail}")
        return f"the {self.kind} {self.name!r} " + sentence.format(detail=self.detail)


class VaeMismatch(PenultimateError):
    """The VAE ``vae`` was made for the latent space ``fits``; ``model`` uses ``needs``."""

    vae: str
    fits: str
    model: str
    needs: str

    def __str__(self) -> str:
        return (
            f"the VAE {self.vae!r} is made for {self.fits} models; {self.model!r} is {self.needs}"
        )


class NetworkMismatch(PenultimateError):
    """The ``kind`` (LoRA, embedding) ``name`` is made for the family ``fits``, not ``needs``."""

    message = "the {kind} {name!r} is made for {fits} models, not {needs}"
    kind: str
    name: str
    fits: str
    needs: str


class NetworkLimit(PenultimateError):
    """A prompt's LoRAs go over ``limit``: ``what`` is ``count``, or the ``weight`` of one.

    ``value`` is the number of them, or the weight.
    """

    what: str
    value: str
    limit: int

    def __str__(self) -> str:
        if self.what == "count":
            return f"a prompt can use {self.limit} LoRAs, not {self.value}"
        return f"a LoRA's weight must be from -{self.limit} to {self.limit}, not {self.value}"


PICTURES: Final = {
    "kind": "is not a PNG, JPEG or WebP picture",
    "damaged": "is damaged or was not fully downloaded",
    "too_large": "is too large ({detail})",
    "long_text": "carries parameters that are too long ({detail} characters)",
    "missing": "could not be fetched: {detail}",
}


class UnreadablePicture(PenultimateError):
    """A picture file that cannot be used; ``reason`` is a key of :data:`PICTURES`.

    ``detail`` is, by reason: ``damaged`` the decoder's message, ``too_large`` the size, in digits
    and units only, ``long_text`` the parameters' length, ``missing`` why the download failed.
    """

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return "the picture " + PICTURES[self.reason].format(detail=self.detail)


class SheetTooLarge(PenultimateError):
    """A sheet has ``count`` of ``what``, more than ``limit``.

    ``what`` is ``values`` of one axis, ``cells``, or ``characters`` of an axis's text.
    """

    what: str
    count: int
    limit: int

    def __str__(self) -> str:
        return f"a sheet can have {self.limit} {self.what}, not {self.count}"


class TooLarge(PenultimateError):
    """A picture of ``width`` × ``height``, where a side may have ``limit`` pixels."""

    message = "{width}×{height} is over {limit} pixels a side"
    width: int
    height: int
    limit: int


class QueueFull(PenultimateError):
    """The queue is full; ``limit`` is the number of jobs queued or running.

    ``scope`` says of whom: ``owner`` or ``total``.
    """

    scope: str
    limit: int

    def __str__(self) -> str:
        whose = "your part of the queue" if self.scope == "owner" else "the queue"
        return f"{whose} is full ({self.limit} jobs); wait for one to finish or cancel one"


class OutOfMemory(PenultimateError):
    """A picture of this size (pixels) does not fit on the device even alone."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"a {self.width}×{self.height} picture does not fit in the device's memory"


class NotFinite(PenultimateError):
    """What ``part`` (model, VAE) computed is NaN; ``name`` is the VAE's or the checkpoint's."""

    message = "the {part} gave NaN in the place of an image ({name})"
    part: str
    name: str


class EngineCrashed(PenultimateError):
    """The engine process died twice while this was the only job it ran."""

    job_id: int

    def __str__(self) -> str:
        return f"the engine crashed twice on job {self.job_id}, so it was given up"


class EngineStopped(PenultimateError):
    """The engine cannot be started, or is being shut down; ``detail`` is the reason, if known."""

    detail: str = ""

    def __str__(self) -> str:
        return "the engine is stopped" + (f": {self.detail}" if self.detail else "")
