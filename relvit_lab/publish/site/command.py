"""python -m relvit_lab site: the notebooks as pages."""

import sys
import time
from collections.abc import Sequence

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.options import split
from relvit_lab.common.shown_names import printable


def site(words: Sequence[str]) -> int:
    """site [DIR] [--notebooks FOLDER] [--cache FOLDER]. Returns 1 where a notebook failed."""
    from relvit_lab.common.words import human_time
    from relvit_lab.publish.site.build import build_site

    options, folders = split(words, ("notebooks", "cache"))
    if len(folders) > 1:
        raise RelvitError(f"site takes one folder to write to, not {len(folders)}: site docs-site")
    begin = time.monotonic()
    written, failures = build_site(*folders, say=lambda text: print(text, flush=True), **options)
    size = sum(path.stat().st_size for path in written) / 1e6
    print(f"{len(written)} pages, {size:.1f} MB, {human_time(time.monotonic() - begin)}: open {written[0]}")
    for failure in failures:
        first, *more = failure.splitlines()
        print("\n".join([f"\nFAILED: {printable(first)}", *map(printable, more)]), file=sys.stderr)
    return 1 if failures else 0
