"""Names and messages as a terminal may show them: what it would obey (a colour, a cleared screen) is spelt out."""


def printable(text: object) -> str:
    """The text on one line; every character that is no visible one as its escape: "\\x1b", "\\n", "\\u202e"."""
    said = str(text)
    return said if said.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in said)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
