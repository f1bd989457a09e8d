"""Everything that can go wrong in the core, as one tree.

An error carries fields; its ``str()`` is plain English for a terminal. What a member
reads is made from the class and the fields elsewhere (``bot/errors.py``).

    PenultimateError
    ├── InvalidRequest        a value outside its range
    ├── UnknownName           no such model, VAE or sampler
    ├── Refused               a file that will not be loaded, and why
    ├── VaeMismatch           a VAE made for another latent space
    ├── UnreadablePicture     an uploaded file that is no usable picture
    ├── SheetTooLarge         an X/Y sheet of more values or cells than are drawn
    ├── QueueFull             the line, or this owner's part of it, is full
    ├── OutOfMemory           does not fit on the device, even alone
    ├── EngineCrashed         the engine died twice with only this job running
    └── EngineStopped         the engine is closed and takes nothing more
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final


def _restore(cls: type[PenultimateError], values: dict[str, Any]) -> PenultimateError:
    return cls(**values)


@dataclass(eq=False)
class PenultimateError(Exception):
    """Base of the tree. Picklable: errors cross from the engine process to the bot."""

    def __str__(self) -> str:
        return type(self).__name__

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


@dataclass(eq=False)
class InvalidRequest(PenultimateError):
    """``value`` is not what ``field`` allows.

    ``allowed`` is one of the few words of :data:`ALLOWED` that a catalogue of sentences can
    translate, and ``low``, ``high`` and ``step`` fill its places. Where a text's length is
    bounded, ``value`` is how long it is.
    """

    field: str
    value: str
    allowed: str
    low: float = 0
    high: float = 0
    step: int = 1

    @property
    def bounds(self) -> dict[str, str]:
        """``low``, ``high`` and ``step`` in digits: 2³²−1 is not 4.3e+09."""
        return {name: f"{getattr(self, name):.12g}" for name in ("low", "high", "step")}

    def __str__(self) -> str:
        allowed = ALLOWED.get(self.allowed, self.allowed).format(**self.bounds)
        return f"{self.field} must be {allowed}, not {self.value}"


@dataclass(eq=False)
class UnknownName(PenultimateError):
    """Nothing of this ``kind`` (model, VAE, sampler …) is called ``name``."""

    kind: str
    name: str
    close: tuple[str, ...] = ()

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(self.close)}?" if self.close else ""
        return f"there is no {self.kind} called {self.name!r}{hint}"


REFUSALS: Final = {
    "pickle": "is a pickle, which can run code; only .safetensors files are loaded",
    "truncated": "is cut off or was not fully downloaded; download it again",
    "unreadable": "cannot be read: {detail}",
    "family": "is {detail}, which this bot does not run",
    "channels": "has {detail} latent channels; Stable Diffusion 1, 2 and XL use 4",
    "missing": "lacks {detail}; the file is not complete",
}


@dataclass(eq=False)
class Refused(PenultimateError):
    """A file or folder that is not loaded.

    ``reason`` is one of a few words a catalogue of sentences can translate: ``pickle``,
    ``truncated``, ``unreadable``, ``family`` (``detail`` names what it is), ``channels``
    (``detail`` is their number), ``missing`` (``detail`` names what is missing). The detail is
    plain English for the owner, whose file it is; no member can act on it.
    """

    kind: str
    name: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        sentence = REFUSALS.get(self.reason, "{detail}")
        return f"the {self.kind} {self.name!r} " + sentence.format(detail=self.detail)


@dataclass(eq=False)
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


PICTURES: Final = {
    "kind": "is not a PNG, JPEG or WebP picture",
    "damaged": "is damaged or was not fully downloaded",
    "too_large": "is too large ({detail})",
    "long_text": "carries parameters that are too long ({detail} characters)",
    "missing": "could not be fetched: {detail}",
}


@dataclass(eq=False)
class UnreadablePicture(PenultimateError):
    """A picture file that cannot be used.

    ``reason`` is ``kind`` (another format), ``damaged`` (``detail`` is the decoder's remark),
    ``too_large`` (``detail`` says how large, in figures and units alone), ``long_text`` (of its
    parameters) or ``missing`` (``detail`` says why it did not come).
    """

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return "the picture " + PICTURES[self.reason].format(detail=self.detail)


@dataclass(eq=False)
class SheetTooLarge(PenultimateError):
    """``what`` (``values`` on one axis, ``cells``, ``characters`` of an axis's text) exceed
    ``limit``: there are ``count`` of them."""

    what: str
    count: int
    limit: int

    def __str__(self) -> str:
        return f"a sheet can have {self.limit} {self.what}, not {self.count}"


@dataclass(eq=False)
class QueueFull(PenultimateError):
    """``scope`` is ``owner`` or ``total``; ``limit`` is how many jobs may wait or run there."""

    scope: str
    limit: int

    def __str__(self) -> str:
        whose = "your part of the queue" if self.scope == "owner" else "the queue"
        return f"{whose} is full ({self.limit} jobs); wait for one to finish or cancel one"


@dataclass(eq=False)
class OutOfMemory(PenultimateError):
    """A picture of this size does not fit on the device even as the only one running."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"a {self.width}×{self.height} picture does not fit in the device's memory"


@dataclass(eq=False)
class EngineCrashed(PenultimateError):
    """The engine process died twice while this was the only job it ran."""

    job_id: int

    def __str__(self) -> str:
        return f"the engine crashed twice on job {self.job_id}, so it was given up"


@dataclass(eq=False)
class EngineStopped(PenultimateError):
    """The engine cannot be started, or is being shut down; ``detail`` says what is known."""

    detail: str = ""

    def __str__(self) -> str:
        return "the engine is stopped" + (f": {self.detail}" if self.detail else "")
