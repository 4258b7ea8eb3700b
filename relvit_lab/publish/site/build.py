"""`make site`: execute the notebooks, make a page of each, and an index."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import nbformat

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import write_whole
from relvit_lab.common.paths import project_root, resolve
from relvit_lab.publish.site.execute import Executed, execute_all
from relvit_lab.publish.site.index import card, index_page
from relvit_lab.publish.site.page import Link, notebook_body, notebook_page, title_of
from relvit_lab.publish.site.slides import slides_page
from relvit_lab.publish.site.terms import glossary_meanings
from relvit_lab.publish.site.try_page import write_try

CACHE = ".site_cache"


def build_site(
    out: str | Path = "site",
    notebooks: str | Path = "notebooks",
    cache: str | Path = CACHE,
    say: Callable[[str], None] = print,
) -> tuple[list[Path], list[str]]:
    """Write a folder of pages that need no kernel and no network: index.html, one for each notebook, slides.html, and
    try.html.

    out: the folder; other files in it stay. notebooks: a folder, all of its notebooks in the order of their names.
    cache: where executed notebooks are kept, so that only what changed runs again. Relative paths are taken from the
    project. say: is told how far it is. Returns the files that were written and what failed: a notebook that fails has
    no page, the others are written. Raises RelvitError where there are no notebooks.
    """
    out, notebooks, cache = resolve(out), resolve(notebooks), resolve(cache)
    paths = sorted(notebooks.glob("*.ipynb"))
    if not paths:
        raise RelvitError(f"no notebooks (*.ipynb) in {notebooks}")
    out.mkdir(parents=True, exist_ok=True)  # before minutes of work: a folder that cannot be written is told now
    try:
        executed = execute_all(paths, cache, project_root() / "results", say)
        written, failures = write_pages(out, executed, glossary_meanings(notebooks.parent))
        return [*written, write_try(out, home="index.html")], failures
    finally:
        with suppress(OSError):
            out.rmdir()  # where nothing was written


def write_pages(
    out: Path, executed: Sequence[Executed], meanings: Mapping[str, str] | None = None
) -> tuple[list[Path], list[str]]:
    """The pages of notebooks that were executed, in this order, and the index. meanings: of the terms that explain
    themselves. Returns files, and what failed."""
    failures = [f"{one.path.name}, {one.failure}" for one in executed if one.failure]
    books = {one.stem: one.book or nbformat.read(one.path, 4) for one in executed}
    titles = {stem: title_of(book, stem) for stem, book in books.items()}
    bodies = {}
    for one in executed:
        if one.book:
            try:
                bodies[one.stem] = notebook_body(one.book, meanings)
            except RelvitError as error:
                failures.append(f"{one.path.name}, {error}")
    links = [Link(f"{stem}.html", titles[stem]) for stem in bodies]
    written = []
    for (stem, body), before, after in zip(bodies.items(), [None, *links], [*links[1:], None]):
        written.append(out / f"{stem}.html")
        write_whole(written[-1], notebook_page(body, titles[stem], before, after))
    for stem in books.keys() - bodies.keys():
        (out / f"{stem}.html").unlink(missing_ok=True)  # of an earlier build: it would pass for this one's
    slides = slides_page({stem[:2]: books[stem] for stem in bodies})
    if slides:
        written.append(out / "slides.html")
        write_whole(written[-1], slides)
    cards = [card(book, f"{stem}.html" if stem in bodies else "", titles[stem]) for stem, book in books.items()]
    write_whole(out / "index.html", index_page(cards, slides is not None))
    return [out / "index.html", *written], failures
