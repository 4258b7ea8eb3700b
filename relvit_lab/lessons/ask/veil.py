"""The veil over what follows a prediction, up to the next heading, until it is made: a style, and nothing that runs.

It comes with the question itself, so that it is there before the answers are. In JupyterLab, where the question is
alive or was saved; on a page of the site where scripts run. On nbconvert's pages, elsewhere and on paper nothing is
veiled, and what is folded stands open.
"""

import re

HEADING = ":is(h1, h2, h3, h4, h5, h6)"
NOTEBOOK = ".jp-NotebookPanel"
# where, a cell there, one that has a heading, and what in it holds the heading
PLACES = (
    (f"{NOTEBOOK} ", ".jp-Cell", f".jp-MarkdownCell:has(.jp-RenderedMarkdown > {HEADING})", " .jp-RenderedMarkdown"),
    (":root.alive ", "main > section", f".words:has(> {HEADING})", ""),
)
TOLD = "details.told"  # in a markdown cell: folded before the question is there, too
ANSWER = "relvit-answer"  # the folded answer of a question that is not alive
UNFOLDED = "::details-content { display: block; content-visibility: visible }"
ALWAYS = f"""
:is(body.jp-Notebook, :root:not(.alive) main > section) :is({TOLD}, .{ANSWER}){UNFOLDED}
@media print {{ :is({TOLD}, .{ANSWER}){UNFOLDED} }}
.relvit-waits {{ display: none }}
@media screen {{ {", ".join(f"{where}.relvit-waits:not([hidden])" for where, *_ in PLACES)} {{ display: block }} }}
"""
STRIPES = "repeating-linear-gradient(135deg, #8a8a8a26 0 6px, #8a8a8a0d 6px 12px)"


def asked(name: str) -> str:
    """The mark of a prediction, for the attribute data-asks."""
    return re.sub(r"[^\w-]", "_", name)


def veil(name: str) -> str:
    """The style of a prediction. What has data-asks="..." is its question, data-open says that the veil is lifted;
    where the question is no longer alive, its unfolded answer says so."""
    asks = f'[data-asks="{asked(name)}"]'
    return ALWAYS + "".join(_rules(asks, *place) for place in PLACES)


def _rules(asks: str, where: str, cell: str, headed: str, within: str) -> str:
    lifted = f":has({asks}[data-open], {asks} .{ANSWER}[open])"
    opened, waits = f"{where}{cell}{lifted}", f"{where}{cell}:has({asks}):not({lifted})"
    after = cell.rpartition(" ")[2]
    hidden = f"{waits} ~ {after}:not({headed}):not({waits} ~ {headed} ~ *)"
    begun = f"{waits} ~ {headed}:not({waits} ~ {headed} ~ *){within} > :not({HEADING}):not({HEADING} ~ *)"
    told = f"{opened} ~ {after}:not({opened} ~ {headed} ~ *) {TOLD}"
    return f"""@media screen {{
{hidden} {{ max-height: .8em; margin-block: 0; padding-block: 0; overflow: clip; background: {STRIPES} }}
{hidden} > * {{ visibility: hidden; opacity: 0 }}
{begun} {{ display: none }}
{told}{UNFOLDED}
{told} > summary {{ display: none }}
}}
"""
