"""Reads a torch pickle and writes its weights as ``.safetensors``; a program of its own.

``python -m core.models.weights.pickled SOURCE TARGET`` prints nothing, or why it cannot. torch's
restricted unpickler runs no code of the file's; whatever it does, this process ends with it.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

# Where training programs put the weights, in this order of choice.
_WRAPPERS: Final = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")
_MAX_NESTING: Final = 4
# The key that embeddings have in a .safetensors.
_EMBEDDING: Final = "emb_params"


class NotConvertible(Exception):
    """A file without weights that could be written; ``str()`` continues "NAME: "."""


def convert(source: Path, target: Path) -> None:
    """Write the weights of ``source``. Raises :class:`NotConvertible` and :class:`OSError`."""
    size = source.stat().st_size
    _limit_memory(size)
    tensors = weights(_unpickled(source))
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > 2 * size:
        raise NotConvertible("it unpacks to far more than its size")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # Copies, for what shares memory cannot be written.
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(plain, target, {"format": "pt", "original_sha256": digest})


def weights(data: object) -> dict[str, Tensor]:
    """Find the tensors by name in what was unpickled. Raises :class:`NotConvertible`."""
    for _ in range(_MAX_NESTING):
        if not isinstance(data, dict):
            break
        if "string_to_param" in data:
            return _embedding(data["string_to_param"])
        inner = next((data[key] for key in _WRAPPERS if isinstance(data.get(key), dict)), None)
        if inner is None:
            break
        data = inner
    named = data.items() if isinstance(data, dict) else ()
    tensors = {name: each for name, each in named if _usable(name, each)}
    if not tensors:
        raise NotConvertible("it holds no weights by name")
    # A concept of diffusers' is one vector under its own word.
    if len(tensors) == 1 and (vectors := next(iter(tensors.values()))).ndim <= 2:
        return _vectors(vectors)
    return tensors


def _embedding(parameters: Any) -> dict[str, Tensor]:
    # Older ones hold a ParameterDict, of which only its attributes are looked at.
    if isinstance(parameters, nn.ParameterDict):
        parameters = vars(parameters).get("_parameters")
    named = parameters.items() if isinstance(parameters, dict) else ()
    vectors = [each for name, each in named if _usable(name, each)]
    if len(vectors) != 1:
        raise NotConvertible(f"it is an embedding of {len(vectors)} words, not of one")
    return _vectors(vectors[0])


def _vectors(vectors: Tensor) -> dict[str, Tensor]:
    return {_EMBEDDING: vectors if vectors.ndim > 1 else vectors.reshape(1, -1)}


def _usable(name: object, value: object) -> bool:
    """Whether this is a weight; a loss's are left out, and so is what no dense tensor is."""
    if not isinstance(name, str) or not isinstance(value, Tensor) or name.startswith("loss."):
        return False
    return value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized


def _unpickled(source: Path) -> object:
    try:
        with torch.serialization.safe_globals([nn.ParameterDict]):
            return torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        # The file is untrusted: whatever reading it raises is its fault.
        if found := re.search(r"GLOBAL ([\w.]{1,80})", str(error)):
            raise NotConvertible(f"it holds code, not only weights: {found[1]}") from error
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise NotConvertible("it unpacks to far more than its size") from error
        raise NotConvertible("it is damaged, or no file of weights") from error


def _limit_memory(size: int) -> None:
    """Let this process take little more than the weights twice, where the system can say so."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        most = pages * resource.getpagesize() + 3 * size + 2**30
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except NotConvertible as reason:
        print(reason)
        sys.exit(1)
