"""TeX equations as MathML, which browsers draw themselves: no script, no font to fetch."""

import re
from xml.etree import ElementTree

from relvit_lab.common.errors import RelvitError

CHILDREN = dict.fromkeys(("mfrac", "msub", "msup", "munder", "mover", "mroot"), 2) | {"msubsup": 3, "munderover": 3}
"""How many children each of these must have; the converter leaves them out without a word."""
SPACE = "{http://www.w3.org/1998/Math/MathML}"


def mathml(tex: str, display: bool = False) -> str:
    """An equation as a <math> element. display: a line of its own. Raises RelvitError where it can't be converted."""
    from latex2mathml.converter import convert

    tex = tex.strip()
    if depth := _unbalanced(tex):
        raise RelvitError(f"equation {tex!r}: {depth}")
    words = re.sub(r"\\mathrm\{([A-Za-z ]{2,})\}", r"\\text{\1}", tex)  # \mathrm{LN} is one name, not L times N
    try:
        made = convert(words, display="block" if display else "inline")
    except Exception as error:  # it has a dozen kinds, and IndexError among them
        raise RelvitError(f"equation {tex!r} can't be converted ({type(error).__name__} {error})".rstrip()) from None
    try:
        root = ElementTree.fromstring(made)
    except ElementTree.ParseError:
        raise RelvitError(f"equation {tex!r} can't be converted: a sign is out of place, perhaps &") from None
    for element in root.iter():
        name, text = element.tag.removeprefix(SPACE), element.text or ""
        if len(element) != CHILDREN.get(name, len(element)):
            raise RelvitError(f"equation {tex!r}: an argument is missing")
        if element.get("linebreak"):
            raise RelvitError(f"equation {tex!r}: browsers break no line here; make two equations of it, or a matrix")
        if name != "mtext" and "\\" in text:
            raise RelvitError(f"equation {tex!r}: {text} is not known; write it with other commands")
    title = tex.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace("\n", " ")
    return made.replace("<math ", f'<math data-tex="{title}" ', 1)


def _unbalanced(tex: str) -> str:
    """What is wrong with the braces, or ""."""
    depth = 0
    for brace in re.findall(r"\\.|[{}]", tex, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return "a } without its {"
    return "a { without its }" if depth else ""
