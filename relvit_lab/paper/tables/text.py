"""The tables as Markdown, LaTeX (booktabs) and CSV, in the paper's layout: beside each of its numbers ours, by recipe.

What a place says (pieces) and how it is to be read (legend) are the same in all forms, HTML included (html.py).
"""

import csv
import html
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from relvit_lab.common.stats import LEVEL, PAPER_RUNS
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.tables.entries import BUILT, Aggregate, Counted, Ours, PaperTable, comparison

SOURCES = {"released": "ours, released", "paper": "ours, paper", BUILT: "built here"}  # by recipe
MARKS = {True: "≈", False: "≠", None: "?"}  # whether a difference lies within the noise
NONE = "–"  # the paper prints no number, and there is none to make
GAINS = {
    "table2": "Improvements are over Supervised,",
    "table3": "Improvements are over Supervised (ViT) and over L_drloc (Swin, T2T),",
    "table4": "Gains are over Supervised,",
    "table5": "Gains of M are over No mega-patches, and of that over Supervised,",
}
LINKS = "Seeds link to run folders; 0′ is the run that 0 is compared with."
WIDEST = 9  # columns of numbers side by side


@dataclass(frozen=True)
class Pieces:
    """What stands in one of our places, line by line, "" where there is nothing to say; all empty: not run yet.
    links: what is shown, and the folder."""

    mean: str = ""
    seeds: str = ""
    difference: str = ""
    headline: str = ""
    gain: str = ""
    p: str = ""
    links: tuple[tuple[str, Path], ...] = ()


def pieces(table: PaperTable, place: tuple[str, str], source: str) -> Pieces | None:
    """Our number of a place, in words. None where the table has none there (a dash, a cross)."""
    ours = table.entries[place].ours.get(source)
    if ours is None:
        return None
    if isinstance(ours, Counted):
        mean = f"{ours.value:.1f}" if place[1] == "params" else f"{ours.value:.0f}"
        return Pieces(mean, f"({ours.exact:,})" if ours.exact else "")
    if not (ours.like.n or ours.headline.n):
        return Pieces()
    signed = ours.is_improvement
    shown_below = ours.gain is not None and ours.gain.n and table.name in ("table4", "table5")
    return Pieces(
        _mean_sd(ours.like, signed),
        f"({ours.like.n}/{ours.like.n + len(ours.like.missing)})",
        _difference(ours),
        f"last {_mean_sd(ours.headline, signed)}" if ours.headline.n else "",
        f"gain {_mean_sd(ours.gain, True)} ({ours.gain.n})" if shown_below else "",
        f"p {_p(ours)}" if shown_below or signed else "",
        tuple(
            (f"{seed}{prime}", folder)
            for seed, folders in (ours.like.folders or ours.headline.folders).items()
            for folder, prime in zip(folders, ("", "′"))
        ),
    )


def _mean_sd(values: Aggregate, signed: bool) -> str:
    if not values.n:
        return ""
    sd = "" if values.sd is None else f" ± {values.sd:.2f}"
    return minus(f"{values.mean:{'+' if signed else ''}.2f}") + sd


def _difference(ours: Ours) -> str:
    """With its mark; an improvement's is against none at all, and stands with p."""
    if ours.difference is None:
        return ""
    return minus(f"Δ {ours.difference:+.2f}") + ("" if ours.is_improvement else f" {MARKS[ours.within]}")


def _p(ours: Ours) -> str:
    told = ours.told_apart
    value = "" if ours.p is None else f"{ours.p:.3f} " if ours.p >= 0.001 else "< 0.001 "
    return value + MARKS[None if told is None else not told]


def minus(text: str) -> str:
    """With a minus sign in place of a hyphen."""
    return re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)


def printed(table: PaperTable, place: tuple[str, str]) -> str:
    """The paper's number of a place."""
    number = table.entries[place].number
    return NONE if number is None else minus(number.text) + (" †" if number.quoted else "")


def panels(table: PaperTable) -> list[tuple[str, ...]]:
    """The paper's columns in groups that fit side by side, as equal as can be."""
    most = 7 if table.name == "table1" else max(1, WIDEST // (1 + len(table.sources)))
    count = -(-len(table.columns) // most)
    return [tuple(group.tolist()) for group in np.array_split(table.columns, count)]


def row_label(table: PaperTable, row: str) -> str:
    return f"M = {row}" if table.name == "table5" and row.isdigit() else paper.label(row)


def legend(table: PaperTable) -> tuple[str, ...]:
    if table.name == "table1":
        return ("Sides in pixels, parameters in millions, in brackets all of them (no classifier, CLS counted).",)
    lines = [
        "Ours, a column for each recipe: mean ± sample standard deviation over the seeds that exist (there/planned), "
        "of the best epoch, as the paper takes it (accuracy: Flower-102 on its validation images, else on the test "
        "images; a task's metric: the epoch that was kept). Δ: that minus the paper's. last: our headline, the last "
        "epoch on the test images. Empty: not run yet.",
        "≈ within the noise, ≠ outside, ? nothing to judge by. Noise of Δ: half the 95 % interval by Student's t; a "
        f"printed spread is taken for that of {PAPER_RUNS} runs, a number without one for a single run that scatters "
        "as ours do.",
        GAINS[table.name]
        + " paired, over the seeds that both have; p is of the paired t-test, last epoch, test images; "
        f"≈ where p is {LEVEL} or more. With several tables, one in twenty is told apart by chance alone.",
    ]
    if table.name == "table3":
        lines.append("† quoted from Liu et al. [21], another recipe, without spread; ours are our own runs.")
    if table.name == "table4":
        lines.append("AbsPos, SpRel and accuracy in %; Ang and Dist: MSE x 100, lower is better.")
    return tuple(lines)


def relative(folder: Path, start: Path) -> str:
    """The address of a run folder in a file that lies in `start`."""
    try:
        return quote(os.fsencode(Path(os.path.relpath(folder, start)).as_posix())) + "/"
    except ValueError:  # another drive, on Windows
        return folder.as_uri()


# -- Markdown ------------------------------------------------------------------------------------------------------


def to_markdown(table: PaperTable, start: Path) -> str:
    """start: the folder of the file, from which run folders are linked."""
    lines = [f"# {table.title}", ""]
    for columns in panels(table):
        heads = [f"{paper.label(c)}, {s}" for c in columns for s in ("paper", *map(SOURCES.get, table.sources))]
        lines += [_md_row(["", *heads]), _md_row(["---", *["---:"] * len(heads)])]
        for row in table.rows:
            cells = []
            for column in columns:
                place = (row, column)
                cells += [printed(table, place), *(_md_cell(pieces(table, place, s), start) for s in table.sources)]
            lines.append(_md_row([row_label(table, row), *cells]))
        lines.append("")
    links = () if table.name == "table1" else (LINKS,)
    for line in (*legend(table), *links, *(f"**{html.escape(note, quote=False)}**" for note in table.notes)):
        lines += [line, ""]
    if table.footnotes:
        lines += ["What a careful reader notes in the paper's own numbers:", ""]
        lines += [f"- {note}" for note in table.footnotes]
    return "\n".join(lines).rstrip() + "\n"


def _md_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _md_cell(own: Pieces | None, start: Path) -> str:
    if own is None:
        return NONE
    first = f"**{own.mean}** {own.seeds}".rstrip() if own.mean else ""
    links = " ".join(f"[{text}]({relative(folder, start)})" for text, folder in own.links)
    return "<br>".join(filter(None, (first, own.difference, own.headline, own.gain, own.p, links)))


# -- LaTeX ---------------------------------------------------------------------------------------------------------

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "±": r"$\pm$", "−": "$-$",
    "≈": r"$\approx$", "≠": r"$\neq$", "Δ": r"$\Delta$", "§": r"\S{}", "†": r"$^\dagger$", "′": "$'$", "–": "--",
    "×": r"$\times$", "²": "$^2$",
}  # fmt: skip


def tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def to_latex(table: PaperTable) -> str:
    """A table environment; needs \\usepackage{booktabs}. Where our runs are stands in comments at its end."""
    what = table.title.partition(": ")[2]
    lines = [
        "% \\usepackage{booktabs}", "\\begin{table}", "  \\centering\\small",
        f"  \\caption{{{tex(what[:1].upper() + what[1:])}: Table {table.name[-1]} of the paper, and ours.}}",
        f"  \\label{{tab:{table.name}}}",
    ]  # fmt: skip
    for columns in panels(table):
        width = 1 + len(table.sources)
        lines += [f"  \\begin{{tabular}}{{l{'r' * (width * len(columns))}}}", "    \\toprule"]
        lines.append(_tex_row(["", *(f"\\multicolumn{{{width}}}{{c}}{{{tex(paper.label(c))}}}" for c in columns)]))
        starts = range(2, 2 + width * len(columns), width)
        lines.append("    " + " ".join(f"\\cmidrule(lr){{{a}-{a + width - 1}}}" for a in starts))
        short = {"released": "released", "paper": "text", BUILT: "built"}
        lines += [_tex_row(["", *(["printed", *map(short.get, table.sources)] * len(columns))]), "    \\midrule"]
        for row in table.rows:
            lines += _tex_lines(table, row, columns)
        lines += ["    \\bottomrule", "  \\end{tabular}", "", "  \\medskip"]
    said = (*legend(table), *table.notes, *table.footnotes)
    lines += ["  \\begin{minipage}{\\linewidth}\\footnotesize"]
    lines += [f"    {tex(line)}\\par" for line in said] + ["  \\end{minipage}", "\\end{table}"]
    for place, entry in table.entries.items():
        for source, ours in entry.ours.items():
            if isinstance(ours, Ours) and comparison(table.name, *place)[0] is None:
                for seed, folders in ours.like.folders.items():
                    where = folders[0].name if folders else "a record"
                    lines.append(f"% {place[0]} | {place[1]} | {source} | seed {seed}: {where}")
    return "\n".join(lines) + "\n"


def _tex_lines(table: PaperTable, row: str, columns: Sequence[str]) -> Iterator[str]:
    """A row of the paper: a line with its numbers, and below it one for each piece that any of ours has."""
    places = [(row, column) for column in columns]
    own = [[pieces(table, place, source) for source in table.sources] for place in places]
    first = [tex(row_label(table, row))]
    for place, group in zip(places, own):
        first.append(tex(printed(table, place)))
        for piece in group:
            mean = f"\\textbf{{{tex(piece.mean)}}} {tex(piece.seeds)}" if piece and piece.mean else ""
            first.append(tex(NONE) if piece is None else mean.strip())
    yield _tex_row(first)
    for name in ("difference", "headline", "gain", "p"):
        texts = [["", *(getattr(piece, name) if piece else "" for piece in group)] for group in own]
        if any(text for group in texts for text in group):
            small = [f"\\footnotesize {tex(text)}" if text else "" for group in texts for text in group]
            yield _tex_row(["", *small])


def _tex_row(cells: Sequence[str]) -> str:
    return "    " + " & ".join(cells) + " \\\\"


# -- CSV -----------------------------------------------------------------------------------------------------------

FIELDS = (
    "table", "row", "column", "paper", "paper_spread", "quoted", "recipe", "mean", "sd", "n", "seeds", "missing_seeds",
    "difference", "noise", "within_noise", "last_mean", "last_sd", "gain_mean", "gain_sd", "gain_n", "p", "runs",
)  # fmt: skip


def to_csv(table: PaperTable, start: Path) -> str:
    """A line for each place and recipe, numbers in full, empty where there is none. runs: SEED=FOLDER by seed, of a
    difference SEED=FOLDER-minus-FOLDER, folders seen from `start`, where the file lies."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n", restval="")
    writer.writeheader()
    for (row, column), entry in table.entries.items():
        n = entry.number
        given = {"table": table.name, "row": row, "column": column}
        if n is not None:
            given |= {"paper": n.value, "paper_spread": n.spread, "quoted": n.quoted}
        for source, ours in entry.ours.items():
            values = {"mean": ours.value} if isinstance(ours, Counted) else _csv(ours, start)
            writer.writerow(given | {"recipe": source} | values)
    return out.getvalue()


def _csv(ours: Ours, start: Path) -> dict:
    like, last, gain = ours.like, ours.headline, ours.gain or Aggregate()
    runs = {seed: " minus ".join(relative(f, start) for f in folders) for seed, folders in like.folders.items()}
    return {
        "mean": like.mean, "sd": like.sd, "n": like.n, "seeds": " ".join(map(str, like.by_seed)),
        "missing_seeds": " ".join(map(str, like.missing)), "difference": ours.difference, "noise": ours.noise,
        "within_noise": ours.within, "last_mean": last.mean, "last_sd": last.sd, "gain_mean": gain.mean,
        "gain_sd": gain.sd, "gain_n": gain.n or None, "p": ours.p,
        "runs": "; ".join(f"{seed}={text}" for seed, text in runs.items()),
    }  # fmt: skip
