"""How values go between judge and student's process: JSON, and tensors as bytes. Reading runs no code.

A frame is two lengths, a JSON text, and the bytes of its tensors and arrays. Plain values, lists, tuples, sets,
dictionaries, tensors and NumPy's arrays go as they are, iterators as lists; what else there is, is put into words by
`other` and taken from them by `known`: the two ends differ in it.
"""

import itertools
import json
import struct
from collections.abc import Callable, Mapping
from types import GeneratorType
from typing import Any, BinaryIO

import numpy as np
import torch

LARGEST = 64 * 2**20  # bytes of a frame
DEEPEST = 20  # lists within lists
LENGTHS = struct.Struct(">QQ")
DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64",
    "complex128",
)  # fmt: skip
NUMBERS = "biufc"  # kinds of NumPy's arrays
ITERATORS = (range, GeneratorType, map, zip, filter, reversed, type({}.keys()), type({}.values()), type({}.items()))
MANY = 1_000_000  # items that are taken of an iterator

Words = Any  # what JSON can say


class Unreadable(Exception):
    """What came is no frame, or says nothing that is known here; or a value is too large to be sent."""


def write(stream: BinaryIO, message: Words, blobs: list[bytes]) -> None:
    """Raises Unreadable for more than LARGEST bytes, OSError where nobody listens."""
    text = json.dumps({"says": message, "lengths": [len(blob) for blob in blobs]}).encode()
    size = sum(map(len, blobs))
    if len(text) + size > LARGEST:
        raise Unreadable(f"it is larger than {LARGEST // 2**20} MB")
    stream.write(b"".join([LENGTHS.pack(len(text), size), text, *blobs]))
    stream.flush()


def read(stream: BinaryIO) -> tuple[Words, list[bytes]] | None:
    """The next frame; None at the end. Raises Unreadable."""
    head = stream.read(LENGTHS.size)
    if not head:
        return None
    if len(head) < LENGTHS.size or sum(LENGTHS.unpack(head)) > LARGEST:
        raise Unreadable("no frame")
    text, size = LENGTHS.unpack(head)
    body = stream.read(text + size)
    if len(body) < text + size:
        return None
    try:
        frame = json.loads(body[:text])
        blobs, at = [], text
        for length in frame["lengths"]:
            if type(length) is not int or length < 0:
                raise ValueError(length)
            blobs.append(body[at : at + length])
            at += length
        if at != text + size:
            raise ValueError("lengths")
        return frame["says"], blobs
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unreadable(type(error).__name__) from None


def pack(value: Any, blobs: list[bytes], other: Callable[[Any, list[bytes]], Words], depth: int = 0) -> Words:
    """A value in words; the bytes of its tensors go to the end of blobs. Raises Unreadable, and what `other` raises."""
    if depth > DEEPEST:
        raise Unreadable(f"it is nested more than {DEEPEST} deep")

    def packed(values: Any) -> list:
        return [pack(item, blobs, other, depth + 1) for item in values]

    if isinstance(value, str) and len(value) > LARGEST:
        raise Unreadable("it is too long a text")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if value is ...:
        return {"is": "ellipsis"}
    if isinstance(value, torch.Tensor):
        return _pack_tensor(value, blobs)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in NUMBERS:
        blobs.append(np.ascontiguousarray(value).tobytes())
        about = {"dtype": value.dtype.str, "shape": list(value.shape), "blob": len(blobs) - 1}
        return {"is": "array" if isinstance(value, np.ndarray) else "number", **about}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return {"is": kind.__name__, "holds": packed(value)}
    if isinstance(value, Mapping):
        return {"is": "dict", "holds": packed(tuple(value.items()))}
    if isinstance(value, ITERATORS):
        return {"is": "list", "holds": packed(itertools.islice(value, MANY))}
    for kind in (int, float, str):  # of a class of their own
        if isinstance(value, kind):
            return kind(value)
    return other(value, blobs)


def unpack(words: Words, blobs: list[bytes], known: Callable[[dict, list[bytes]], Any], depth: int = 0) -> Any:
    """What `pack` put into words. known: what `other` did. Raises Unreadable."""
    if words is None or isinstance(words, bool | int | float | str):
        return words
    if not isinstance(words, dict) or depth > DEEPEST:
        raise Unreadable("no value")
    kind = words.get("is")
    try:
        if kind == "ellipsis":
            return ...
        if kind == "tensor":
            return _unpack_tensor(words, blobs)
        if kind in ("array", "number"):
            return _unpack_array(words, blobs)
        if kind in ("list", "tuple", "set", "frozenset", "dict"):
            held = [unpack(item, blobs, known, depth + 1) for item in words["holds"]]
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}[kind](held)
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, OverflowError, MemoryError) as error:
        raise Unreadable(type(error).__name__) from None
    return known(words, blobs)


def _pack_tensor(value: torch.Tensor, blobs: list[bytes]) -> Words:
    value = value.detach().cpu()
    if value.layout is not torch.strided:
        value = value.to_dense()
    name = str(value.dtype).removeprefix("torch.")
    if name not in DTYPES or value.numel() * value.element_size() > LARGEST:
        raise Unreadable(f"a tensor of {value.numel():,} numbers of type {name} is not for here")
    flat = value.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    blobs.append(flat.numpy().tobytes())
    return {"is": "tensor", "dtype": name, "shape": list(value.shape), "blob": len(blobs) - 1}


def _unpack_tensor(words: dict, blobs: list[bytes]) -> torch.Tensor:
    if words["dtype"] not in DTYPES:
        raise ValueError(words["dtype"])
    data = bytearray(blobs[words["blob"]])
    flat = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    flat = flat != 0 if words["dtype"] == "bool" else flat.view(getattr(torch, words["dtype"]))
    return flat.reshape(_shape(words))


def _unpack_array(words: dict, blobs: list[bytes]) -> Any:
    dtype = np.dtype(str(words["dtype"]))
    if dtype.kind not in NUMBERS or dtype.itemsize > 32:
        raise ValueError(words["dtype"])
    array = np.frombuffer(blobs[words["blob"]], dtype).reshape(_shape(words)).copy()
    return array if words["is"] == "array" else array.reshape(())[()]


def _shape(words: dict) -> tuple[int, ...]:
    shape = tuple(words["shape"])
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(shape)
    return shape
