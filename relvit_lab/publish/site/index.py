"""The site's first page, the path through the course: of each notebook a picture, what one learns, and the time."""

import base64
import html
import re
from collections.abc import Sequence

from nbformat import NotebookNode

from relvit_lab.publish.site.exporter import picture_alt, png_size
from relvit_lab.publish.site.markdown import PageMarkdown
from relvit_lab.publish.site.page import address, document
from relvit_lab.show.still import in_fewer_colours

LEAST = (400, 250)  # width and height of a good picture, in pixels
WIDTH = 720  # of the small one in the index
TITLE = "RelViT, notebook by notebook"
GROUPS = {  # by the mark that a notebook's head bears
    "Core": "Core: in this order",
    "Optional": "Optional: for those who want more",
    "Project": "Projects: train, compare, invent",
    "": "Notebooks",
}
LEAD = """
RelViT trains vision transformers on a question that costs no labels: *where does each patch lie, seen from another?*
These pages are the notebooks of `relvit_lab`, executed. The explorers work here without anything installed: point,
click, drag, or use the arrow keys. To run, change and solve, open the notebooks themselves: `make lab`.

**Start here:** [ask a trained model, in the page](try.html), a tour of five minutes; then your own photograph.

The paper: "Where are my Neighbors? Exploiting Patches Relations in Self-Supervised Vision Transformer", BMVC 2022,
[arXiv 2206.00481](https://arxiv.org/abs/2206.00481).
"""

SLIDES = "\nTo teach from: [slides for a lesson of 90 minutes](slides.html). Arrow keys turn them.\n"


def card(book: NotebookNode, file: str, title: str) -> tuple[str, str]:
    """A notebook's mark (one of GROUPS) and its card, HTML, from its own words. file: of its page, "" where it failed:
    then the card has no more than its title."""
    words = next((cell.source for cell in book.cells if cell.cell_type == "markdown"), "")
    title = html.escape(title)
    if not file:
        said = "<p>This notebook failed when the site was built.</p>"
        return mark_of(words), f'<li class="card failed"><div><h3>{title}</h3>{said}</div></li>'
    small, alt = first_picture(book)
    learn, time = what_one_learns(words), time_it_takes(words)
    picture = ""
    if small:
        source = base64.b64encode(small).decode()
        picture = (
            f'<a href="{address(file)}" tabindex="-1" aria-hidden="true">'
            f'<img src="data:image/png;base64,{source}" alt="{html.escape(alt)}"></a>'
        )
    if learn:
        learn = f"<p><b>What you will learn</b></p>\n{PageMarkdown().to_html(learn)}"
    if time:
        time = f'<p class="time">{PageMarkdown().to_html(time).strip().removeprefix("<p>").removesuffix("</p>")}</p>'
    return mark_of(words), (
        f'<li class="card">{picture}<div><h3><a href="{address(file)}">{title}</a></h3>\n{learn}\n{time}</div></li>'
    )


def mark_of(words: str) -> str:
    """Core, Optional or Project, after "Where you are". "" where there is none."""
    found = re.search(r"\*\*Where you are\.\*\* (\w+)", words)
    return found[1] if found and found[1] in GROUPS else ""


def what_one_learns(words: str) -> str:
    """The markdown after "What you will learn", up to the next point in bold. "" where there is none."""
    found = re.search(r"\*\*What you will learn[.:]?\*\*[.:]?\s*(.+?)(?=\*\*[A-Z][^*]*\*\*|\Z)", words, re.DOTALL)
    return found[1].strip() if found else ""


def time_it_takes(words: str) -> str:
    """The last sentence (or part of one, between semicolons) that speaks of minutes. "" where there is none."""
    text = re.sub(r"\*\*[^*]+\*\*[.:]?", ".", " ".join(words.split()))
    said = [part.strip() for part in re.split(r"(?<=[.;])\s", text) if re.search(r"\bminutes?\b", part)]
    last = said[-1].strip(".; ") if said else ""
    return f"{last[0].upper()}{last[1:]}." if last else ""


def first_picture(book: NotebookNode) -> tuple[bytes | None, str]:
    """The first drawing that is not tiny, made small, and what it shows."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                data = base64.b64decode(output.data["image/png"])
                if all(size >= least for size, least in zip(png_size(data), LEAST)):
                    return in_fewer_colours(data, WIDTH), picture_alt(output)
    return None, ""


def index_page(cards: Sequence[tuple[str, str]], slides: bool = False) -> str:
    """The cards -> a whole page, by their marks. slides: whether there is a slides.html."""
    groups = {mark: [shown for its, shown in cards if its == mark] for mark in GROUPS}
    shown = "\n".join(
        f'<h2>{GROUPS[mark]}</h2>\n<ul class="cards">\n{chr(10).join(marked)}\n</ul>'
        for mark, marked in groups.items()
        if marked
    )
    lead = PageMarkdown().to_html(LEAD + (SLIDES if slides else ""))
    return document(
        TITLE,
        f'<main class="index">\n<h1>{TITLE}</h1>\n<div class="lead">{lead}</div>\n{shown}\n</main>',
    )
