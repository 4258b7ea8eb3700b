"""What names from outside need before they are drawn: no mathtext, nothing that cannot be drawn, a font that has it."""

import contextlib
import functools
import sys

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from relvit_lab.common.shown_names import readable

PLACEHOLDERS = ("last resort", "lastresort", "adobe blank", "unifont upper")  # fonts of boxes and of nothing
OFFER = "Noto Sans CJK (in Linux distributions fonts-noto-cjk) has Chinese, Japanese and Korean"
_told: list[str] = []  # characters that no font has: told once


def letter(figure: Figure, math: bool) -> None:
    """Make all texts of a figure drawable. math: whether $...$ in it is mathtext; else it is drawn as it stands."""
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        shown = [readable(label) for label in labels]
        if shown != labels:  # texts that were set on ticks come back with each drawing
            axis.set_ticks(axis.get_ticklocs(), shown)
    absent: set[str] = set()
    for text in figure.findobj(Text):
        said = readable(text.get_text())
        if said != text.get_text():
            text.set_text(said)
        if "$" in said and not math and not said.startswith(r"$\mathdefault{"):  # which is matplotlib's own: 10^3
            text.set_parse_math(False)
        missing = {c for c in said if ord(c) > 0x7E} - _letters_of(tuple(text.get_fontfamily()))
        if missing:
            absent |= _add_fonts(text, missing)
    if absent and not _told:
        _told.extend(sorted(absent))
        print(
            f"note: no font on this machine has {' '.join(_told)}: boxes stand for it in pictures. {OFFER}; once it is "
            "installed, restart",
            file=sys.stderr,
        )


def _add_fonts(text: Text, missing: set[str]) -> set[str]:
    """Fonts beside the text's own, until all its letters are there, or no font has the rest, which is returned."""
    families = list(text.get_fontfamily())
    while missing:
        family, has = max(_fonts(), key=lambda font: len(missing & font[1]), default=("", frozenset()))
        if not missing & has:
            break
        families.append(family)
        missing = missing - has
    text.set_fontfamily(families)
    return missing


@functools.cache
def _letters_of(families: tuple[str, ...]) -> frozenset[str]:
    """What the first font of these families has."""
    return _letters(font_manager.findfont(font_manager.FontProperties(family=list(families))))


@functools.cache
def _letters(path: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):  # damaged, or of pictures only
        return frozenset()


@functools.cache
def _fonts() -> tuple[tuple[str, frozenset[str]], ...]:
    """(family, its letters) of the fonts on this machine, upright ones of usual weight; also those that were installed
    after matplotlib made its list."""
    manager = font_manager.fontManager
    known = {font.fname for font in manager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        with contextlib.suppress(Exception):  # some ten kinds, of files that are no fonts or of pictures only
            manager.addfont(path)
    found = {}
    for font in sorted(manager.ttflist, key=lambda font: (font.style != "normal", abs(_weight(font.weight) - 400))):
        if not font.name.lower().startswith(PLACEHOLDERS):
            found.setdefault(font.name, font.fname)
    return tuple((name, _letters(path)) for name, path in found.items())


def _weight(weight: int | str) -> int:
    return weight if isinstance(weight, int) else font_manager.weight_dict.get(weight, 400)
