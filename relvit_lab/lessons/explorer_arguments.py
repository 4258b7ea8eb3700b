"""Numbers and switches as a person hands them to an explorer: brought to Python's own types, or refused in words."""

import contextlib

import numpy as np

from relvit_lab.common.errors import RelvitError
from relvit_lab.show.own_image import whole


def whole_between(value: object, name: str, least: int, most: int) -> int:
    """A whole number in that range, be it Python's, numpy's or a tensor's. Raises RelvitError for all else."""
    with contextlib.suppress(RelvitError):
        if least <= (number := whole(value, name)) <= most:
            return number
    raise RelvitError(f"{name} is a whole number from {least} to {most}, not {value!r}")


def yes_or_no(value: object, name: str) -> bool:
    """True or False, Python's or numpy's. Raises RelvitError for all else: "no" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise RelvitError(f"{name} is True or False, not {value!r}")
    return bool(value)
