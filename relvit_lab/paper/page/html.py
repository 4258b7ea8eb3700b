"""The report's page as HTML: its frame and style, tables, figures. Nothing in it is loaded from elsewhere."""

import base64
import html
from collections.abc import Iterable, Sequence

from relvit_lab.paper.tables.html import POLICY

STYLE = """
:root { color-scheme: light }
html { -webkit-text-size-adjust: 100% }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 78rem; background: #fff; color: #1a1a1a;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 3rem 0 .75rem; padding-top: .6rem; border-top: 2px solid #1a1a1a }
h3 { font-size: 1.08rem; line-height: 1.3; margin: 2.2rem 0 .6rem }
p, ul, dl, figcaption { max-width: 46rem }
p { margin: .6rem 0 }
a { color: #004f8a }
nav ul { margin: 1rem 0 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.3rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 1.2rem 0 }
dt { color: #555 } dd { margin: 0; overflow-wrap: anywhere }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere }
.wide { overflow-x: auto; margin: .8rem 0 1.4rem }
.wide table { border-collapse: collapse; font-size: .92rem; line-height: 1.4 }
.wide th, .wide td { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; min-width: 4.5rem }
.wide td { border-top: 1px solid #d5d5d5 } .wide thead th { font-weight: 600; border-bottom: 1px solid #777 }
.wide td.n, .wide th.n { text-align: right; white-space: nowrap }
.paper { font-variant-numeric: tabular-nums; font-size: .81rem; line-height: 1.4 }
.paper caption { position: absolute !important; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
.paper > div > p, .paper > div > details { font-size: .88rem !important }
.paper tbody th { position: sticky; left: 0; background: #fff }
.paper td span[title^="Seeds"] { display: inline-block; max-width: 9em; white-space: normal }
.note { border-left: 4px solid #b35900; padding: .5rem .9rem; background: #fff5ea }
.none { color: #555 }
figure { margin: 1rem 0 2rem } figure img { width: 100%; height: auto; max-width: 66rem }
figcaption { font-weight: 600; margin-bottom: .4rem }
summary { cursor: pointer; padding: .2rem 0 }
details ul { margin: .2rem 0 1rem; padding-left: 1.2rem }
@media (max-width: 34rem) {
  body { padding: 1.2rem .9rem 3rem } h1 { font-size: 1.5rem } dl { grid-template-columns: 1fr; gap: 0 }
  dd { margin-bottom: .6rem }
}
@page { size: A4 landscape; margin: 12mm }
@media print {
  body { max-width: none; padding: 0; font-size: 9.5pt } nav { display: none } a { color: inherit }
  h2, h3, figcaption { break-after: avoid } tr, figure, .note { break-inside: avoid }
  .wide, .paper, .paper > div { overflow: visible !important } .paper { font-size: 7pt }
  .paper td, .paper th { padding: .15em .3em !important }
  .paper > div > p, .paper > div > details { font-size: 8pt !important }
  figure img { max-height: 165mm; width: auto; max-width: 100% }
  details:not([open])::details-content { content-visibility: visible; display: block; block-size: auto }
}
""".strip()


def document(title: str, body: Iterable[str]) -> str:
    """A whole page. body: pieces of HTML."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{text(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<style>\n{STYLE}\n</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Text for HTML."""
    return html.escape(str(value))


def paragraph(words: str, kind: str = "") -> str:
    """kind: note (a warning), none (that there is nothing), or plain."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of text that scrolls where it is too wide. numbers: the columns that stand to the right."""

    def cells(tag: str, row: Sequence[str], more: str = "") -> str:
        kinds = [' class="n"' if k in numbers else "" for k in range(len(row))]
        return "".join(f"<{tag}{more}{kind}>{text(cell)}</{tag}>" for cell, kind in zip(row, kinds))

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    head = cells("th", headers, ' scope="col"')
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>'


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and what they are; the latter are HTML."""
    return "<dl>\n" + "\n".join(f"<dt>{text(name)}</dt><dd>{value}</dd>" for name, value in pairs) + "\n</dl>"


def figure(title: str, svg: bytes, alt: str) -> str:
    """A drawing, as a picture of its own: so the names inside several drawings do not meet."""
    source = base64.b64encode(svg).decode("ascii")
    return (
        f"<figure>\n<figcaption>{text(title)}</figcaption>\n"
        f'<img src="data:image/svg+xml;base64,{source}" alt="{text(alt)}">\n</figure>'
    )


def folded(title: str, content: str) -> str:
    """What is shown when it is asked for (and in print)."""
    return f"<details>\n<summary>{text(title)}</summary>\n{content}\n</details>"
