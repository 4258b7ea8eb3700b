"""What a function does, as text: the same wherever it is asked, another when its code is changed."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from types import CodeType

ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in an object's repr: another in each process


def source_text(function: Callable) -> str:
    """Source text where there is some, else the compiled code. A partial counts with its function, an object that can
    be called with its class and what it holds."""
    if isinstance(function, partial):
        given = repr([getattr(a, "__qualname__", a) for a in function.args])
        named = repr(sorted(function.keywords.items())) if function.keywords else ""
        return source_text(function.func) + given + named
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        if hasattr(function, "__code__"):  # typed into an interpreter
            return _compiled(function.__code__)
        if hasattr(function, "__qualname__") or not hasattr(function, "__dict__"):  # built in
            return getattr(function, "__qualname__", repr(function))
        return source_text(type(function)) + ADDRESS.sub("", repr(sorted(vars(function).items())))


def _compiled(code: CodeType) -> str:
    inner = [_compiled(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, inner))
