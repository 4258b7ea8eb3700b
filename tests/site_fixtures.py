"""What a page of the site would load, and where its links lead."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlparse

REMOTE_CODE = r"\bfrom\s*['\"]|\bimport\s*\(?\s*['\"]|fetch\(|XMLHttpRequest|WebSocket"
LOADS = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "xlink:href", "manifest"}


class Loads(HTMLParser):
    """Whatever a page would load, styles included. Where a link leads is not loaded: `links`."""

    def __init__(self, page: str):
        super().__init__()
        self.found, self.links, self.ids, self._style = [], [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._style = tag == "style"
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name == "href" and tag == "a":
                self.links.append(value)
            elif name in LOADS or name == "href":
                self.found.append(value)
            elif name == "style":
                self._css(value)

    def handle_data(self, text):
        if self._style:
            self._css(text)

    def _css(self, text):
        self.found += re.findall(r"url\(\s*['\"]?([^'\")]*)", text) + re.findall(r"@import\s+(\S+)", text)

    def outside(self) -> list[str]:
        return [value for value in self.found if not value.startswith(("data:image/", "#"))]


def check_page(path: Path) -> Loads:
    """It loads nothing, asks for no remote code, and its own links lead somewhere."""
    page = path.read_text(encoding="utf-8")
    loads = Loads(page)
    assert loads.outside() == [], path.name
    scripts = re.findall(r"<script(?![^>]*application/json)[^>]*>(.*?)</script>", page, re.DOTALL)
    for script in [*scripts, *embedded_modules(page)]:
        assert not re.search(REMOTE_CODE, script)
    assert len(loads.ids) == len(set(loads.ids)), "an id stands twice"
    for link in loads.links:
        if link.startswith("#"):
            assert link[1:] in loads.ids, link
        elif not urlparse(link).scheme:
            assert (path.parent / link.partition("#")[0]).is_file(), link
    return loads


def embedded_modules(page: str) -> list[str]:
    data = re.search(r'<script type="application/json" id="widget-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(data[1])["modules"] if data else []
