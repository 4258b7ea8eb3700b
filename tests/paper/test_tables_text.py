"""The tables as Markdown, LaTeX, CSV and HTML: structure, escapes, links that lead somewhere, and the command."""

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from run_fixtures import write_cell, write_run

from relvit_lab.__main__ import main
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.tables.entries import BUILT
from relvit_lab.paper.tables.files import TABLES, choose, inventory, make_tables, write_tables
from relvit_lab.paper.tables.finished import collect
from relvit_lab.paper.tables.html import to_html, to_page
from relvit_lab.paper.tables.numbers import paper_table
from relvit_lab.paper.tables.text import FIELDS, panels, pieces, tex, to_csv, to_latex, to_markdown


def cell(table, row, column, recipe="released"):
    (found,) = plan.cells(table, recipe, rows=[row], columns=[column])
    return found


@pytest.fixture
def start(tmp_path):
    """Where the files would lie; its runs are beside it, one folder with a space in its name."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def some(start, tmp_path):
    """All five tables with a few runs: two seeds of Table 2's CIFAR-10, one of the recipe paper, and more."""
    runs = tmp_path / "my runs"
    write_cell(runs, cell("table2", "cifar10", "RelViT"), {0: 89.5, 1: 90.5})
    write_cell(runs, cell("table2", "cifar10", "Supervised"), {0: 86.0, 1: 86.5})
    write_cell(runs, cell("table2", "cifar10", "RelViT", "paper"), {0: 80.0})
    write_cell(runs, cell("table3", "Swin: L_drloc", "cifar10"), {0: 83.0})
    write_cell(runs, cell("table5", "6", "imagenet100 vit_s_16"), {0: 75.0})
    write_cell(runs, cell("table5", "No-Mega-Patches", "imagenet100 vit_s_16"), {0: 75.5})
    sprel = cell("table4", "sprel", "sprel").stages(0)[-1]
    write_run(runs, sprel, {"sprel": 48.0}, {"sprel": [47.0, 48.0]}, kept_epoch=1)
    return {table.name: table for table in make_tables(collect([runs]), plan.cells())}


@pytest.fixture
def none():
    return {table.name: table for table in make_tables(collect([]), plan.cells())}


# What a place says


def test_pieces(some):
    own = pieces(some["table2"], ("cifar10", "RelViT"), "released")
    assert own.mean == "90.50 ± 0.71" and own.seeds == "(2/5)" and own.headline == "last 90.00 ± 0.71"
    assert own.difference == "Δ +0.27 ≈" and own.gain == own.p == ""
    assert [text for text, _ in own.links] == ["0", "1"]
    better = pieces(some["table2"], ("cifar10", "Improv."), "released")
    assert better.mean == "+3.75 ± 0.35" and better.difference == "Δ −0.39"  # 4.14 in the paper
    assert better.headline == "last +3.75 ± 0.35" and better.p == "p 0.042 ≠"  # t = 15: p = 1 - 2 atan(15) / pi
    assert [text for text, _ in better.links] == ["0", "0′", "1", "1′"]
    one = pieces(some["table5"], ("6", "imagenet100 vit_s_16"), "released")
    assert one.gain == "gain −0.50 (1)" and one.p == "p ?" and one.difference.endswith("?")
    sprel = pieces(some["table4"], ("sprel", "sprel"), "released")
    assert sprel.mean == "47.00" and sprel.headline == "last 48.00" and sprel.gain == ""
    missing = pieces(some["table2"], ("svhn", "RelViT"), "released")
    assert not any((missing.mean, missing.seeds, missing.difference, missing.headline, missing.links))
    assert pieces(some["table5"], ("10", "imagenet100 vit_s_32"), "released") is None
    built = pieces(some["table1"], ("vit_s_16", "params"), BUILT)
    assert built.mean == "21.7" and built.seeds == "(21,665,664)"


@pytest.mark.parametrize("name", TABLES)
def test_panels_hold_every_column_once_in_order(none, name):
    assert [column for columns in panels(none[name]) for column in columns] == list(none[name].columns)
    widths = [len(columns) * (1 + len(none[name].sources)) for columns in panels(none[name])]
    assert max(widths) <= 14 and (name == "table1" or max(widths) <= 9)


# Markdown


def markdown_rows(text):
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("name", TABLES)
def test_markdown_tables_are_whole(some, start, name):
    table, text = some[name], to_markdown(some[name], start)
    rows = markdown_rows(text)
    blocks = panels(table)
    assert len(rows) == len(blocks) * (len(table.rows) + 2)
    for k, columns in enumerate(blocks):
        block = rows[k * (len(table.rows) + 2) : (k + 1) * (len(table.rows) + 2)]
        assert {len(row) for row in block} == {1 + len(columns) * (1 + len(table.sources))}
    assert text.startswith(f"# {table.title}\n") and all(note in text for note in (*table.footnotes, *table.notes))


def test_markdown_links_lead_to_the_runs(some, start):
    text = to_markdown(some["table2"], start)
    links = re.findall(r"\[([01]′?)\]\(([^)]+)\)", text)
    assert len(links) == 2 + 2 + 1 + 4  # RelViT, Supervised, RelViT by the other recipe, both runs of the improvements
    for _, link in links:
        assert (start / unquote(link) / "result.json").is_file() and " " not in link and not link.startswith("/")


def test_missing_numbers_are_empty_and_dashes_stay(none, start):
    (row,) = [row for row in markdown_rows(to_markdown(none["table2"], start)) if row[0].strip() == "SVHN"]
    assert [text.strip() for text in row[1:]] == ["96.01 ± 0.07", "", "", "97.14 ± 0.03", "", "", "+1.13", "", ""]
    ten = [row for row in markdown_rows(to_markdown(none["table5"], start)) if row[0].strip() == "M = 10"]
    assert [text.strip() for text in ten[0][1:4]] == ["–", "–", "–"]
    assert [text.strip() for text in ten[0][4:7]] == ["75.30", "", ""]


def test_quoted_numbers_are_marked(none, start):
    text = to_markdown(none["table3"], start)
    assert "83.89 †" in text and "92.33 ± 0.22 |" in text and "† quoted from Liu et al." in text
    assert "†" not in to_markdown(none["table2"], start)


# LaTeX


@pytest.mark.parametrize("name", TABLES)
def test_latex_has_as_many_cells_as_columns_in_every_row(some, name):
    text = to_latex(some[name])
    found = re.findall(r"\\begin\{tabular\}\{(l(r+))\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(found) == len(panels(some[name]))
    for spec, _, body in found:
        rows = [line.strip() for line in body.splitlines() if line.strip().endswith("\\\\")]
        assert len(rows) >= len(some[name].rows) + 2
        for row in rows:
            cells = re.split(r"(?<!\\)&", row.removesuffix("\\\\"))
            width = sum(int(m[1]) if (m := re.search(r"\\multicolumn\{(\d+)\}", part)) else 1 for part in cells)
            assert width == len(spec), row
        assert [body.count(rule) for rule in ("\\toprule", "\\midrule", "\\bottomrule")] == [1, 1, 1]
        ends = [tuple(map(int, pair)) for pair in re.findall(r"\\cmidrule\(lr\)\{(\d+)-(\d+)\}", body)]
        assert ends[0][0] == 2 and ends[-1][1] == len(spec)


@pytest.mark.parametrize("name", TABLES)
def test_latex_is_escaped_and_balanced(some, name):
    text = "\n".join(line for line in to_latex(some[name]).splitlines() if not line.startswith("%"))
    assert text.isascii() or set(text) - set(map(chr, range(128))) <= set("“”’é")
    assert not re.search(r"(?<!\\)[%#_]", text.replace("tab:table", ""))
    bare = re.sub(r"\\[{}\\]", "", text)
    assert bare.count("{") == bare.count("}")
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    assert text.count("\\begin{") == text.count("\\end{")


def test_tex():
    assert tex("50 % of L_drloc & more #1 {x} ~^\\") == (
        r"50 \% of L\_drloc \& more \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert tex("−0.30 ± 0.1 ≈ 0′ §4 –") == r"$-$0.30 $\pm$ 0.1 $\approx$ 0$'$ \S{}4 --"


def test_latex_names_the_runs_in_comments(some):
    text = to_latex(some["table2"])
    stage = cell("table2", "cifar10", "RelViT").stages(1)[-1]
    assert f"% cifar10 | RelViT | released | seed 1: {stage.id}\n" in text


# CSV


@pytest.mark.parametrize("name", TABLES)
def test_csv_has_every_number_once(some, start, name):
    rows = list(csv.DictReader(io.StringIO(to_csv(some[name], start))))
    assert tuple(rows[0]) == FIELDS
    keys = [(row["row"], row["column"], row["recipe"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {key[:2] for key in keys} == {(n.row, n.column) for n in paper.NUMBERS if n.table == name}
    for row in rows:
        number = paper.get(name, row["row"], row["column"])
        assert float(row["paper"]) == number.value and row["quoted"] == str(number.quoted)
        assert (float(row["paper_spread"]) if row["paper_spread"] else None) == number.spread


def test_csv_holds_numbers_in_full_and_where_they_are_from(some, start):
    rows = {
        (row["row"], row["column"], row["recipe"]): row
        for row in csv.DictReader(io.StringIO(to_csv(some["table2"], start)))
    }
    own = rows["cifar10", "RelViT", "released"]
    assert float(own["mean"]) == 90.5 and float(own["sd"]) == pytest.approx(0.5**0.5) and own["n"] == "2"
    assert own["seeds"] == "0 1" and own["missing_seeds"] == "2 3 4" and own["within_noise"] == "True"
    assert float(own["last_mean"]) == 90.0 and float(own["gain_mean"]) == 3.75
    for word in own["runs"].split("; "):
        assert (start / unquote(word.partition("=")[2]) / "result.json").is_file()
    gap = rows["cifar10", "Improv.", "released"]["runs"].split("; ")[1]
    assert gap.startswith("1=") and len(gap.removeprefix("1=").split(" minus ")) == 2
    empty = rows["svhn", "RelViT", "released"]
    assert [empty[name] for name in ("mean", "sd", "difference", "within_noise", "p", "runs")] == [""] * 6


# HTML


class Cells(HTMLParser):
    """Widths of the rows of each table, the links, and whether all elements are closed."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.links, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in ("br", "meta"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append(0)
        if tag in ("td", "th"):
            self.tables[-1][-1] += int(attrs.get("colspan", 1))
        if tag == "a":
            self.links.append(attrs["href"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", TABLES)
def test_html_is_well_formed_and_its_links_lead_to_the_runs(some, start, name):
    found = Cells(to_page(some[name], start))
    assert not found.open and len(found.tables) == len(panels(some[name]))
    for rows, columns in zip(found.tables, panels(some[name])):
        assert set(rows) == {1 + len(columns) * (1 + len(some[name].sources))}
        assert len(rows) == len(some[name].rows) + 2
    assert all((start / unquote(link) / "result.json").is_file() for link in found.links)
    assert bool(found.links) == (name != "table1")


def test_html_tells_paper_ours_and_marks_apart(some, start):
    text = to_html(some["table2"], start)
    assert "<strong>90.50 ± 0.71</strong> (2/5)" in text and "<strong>90.23" not in text
    assert '<span title="within the noise">≈</span>' in text
    unjudged = '<span title="nothing to judge by: one seed, or no spread">?</span>'
    assert unjudged not in text and unjudged in to_html(some["table5"], start)
    assert text.count("<style") == 0  # a notebook that is not trusted drops style sheets


def test_a_table_shows_itself_in_a_notebook(some, start, monkeypatch):
    monkeypatch.chdir(start)
    assert some["table2"]._repr_html_() == to_html(some["table2"], start)


# Files and the command


def test_files_are_written_and_the_same_again(some, tmp_path):
    written = write_tables(some.values(), tmp_path / "tables")
    assert sorted(path.name for path in written) == sorted(
        f"table{k}.{ending}" for k in range(1, 6) for ending in ("md", "tex", "csv", "html")
    )
    before = {path: path.read_bytes() for path in written}
    write_tables(some.values(), tmp_path / "tables")
    assert {path: path.read_bytes() for path in written} == before


def test_inventory_says_what_is_there_and_what_is_missing(some, none):
    lines = {tuple(row[:2]): row[2:] for row in inventory(some.values()).rows}
    assert lines["Table 2", "released"][:5] == ("12", "0", "2", "10", "4/60")
    assert lines["Table 2", "released"][5].startswith(
        "CIFAR-10, Supervised (seed 2 3 4); CIFAR-10, RelViT (seed 2 3 4)"
    )
    assert lines["Table 2", "released"][5].endswith("and 10 more")
    assert lines["Table 3", "paper"] == ("32", "0", "0", "32", "0/160", "all")
    assert {row[7] for row in inventory(none.values()).rows} == {"all"}
    assert not any(row[0] == "Table 1" for row in inventory(some.values()).rows)


def test_the_command_writes_and_says(tmp_path, capsys):
    runs = tmp_path / "runs"
    write_cell(runs, cell("table2", "cifar10", "RelViT"), {0: 90.0})
    write_cell(tmp_path / "more", cell("table2", "cifar10", "RelViT"), {1: 91.0})
    (runs / "broken").mkdir()
    (runs / "broken" / "result.json").write_text("{")
    words = ["tables", "table2", "table5", "--run-dir", f"runs,{tmp_path / 'more'}", "--recipes", "released"]
    assert main([*words, "--seeds", "0,1", "--out", "here"]) == 0
    said = capsys.readouterr().out
    assert "2/24" in said and "broken: its result.json cannot be read" in said and "Our runs were made by" in said
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert {"table2.md", "table2.tex", "table2.csv", "table2.html", "table5.png", "table5.svg"} <= names
    assert "table3.md" not in names and Path(said.split("written to ")[1].split(":")[0]) == tmp_path / "here"
    text = (tmp_path / "here" / "table2.md").read_text(encoding="utf-8")
    assert "](../runs/cifar10-finetune-" in text and "](../more/cifar10-finetune-" in text


def test_the_command_lists_the_plan(capsys):
    assert main(["tables", "--plan", "table2", "--recipes", "released", "--seeds", "0"]) == 0
    said = capsys.readouterr().out
    assert "Table 2" in said and "GPU hours left" in said
    assert main(["tables", "figure4", "--plan", "--cells", "--recipes", "paper", "--seeds", "0", "--tflops", "50"]) == 0
    assert "PE on, shuffle" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, says",
    [
        (["tabel2"], "did you mean 'table2'"),
        (["--seeds", "one"], "seeds are whole numbers"),
        (["--recipes", "papre"], "did you mean 'paper'"),
        (["--backbone", "vit_s_4"], "unknown option '--backbone'"),
        (["--plan", "--tflops", "fast"], "--tflops takes a number"),
    ],
)
def test_mistakes_are_told(words, says, capsys):
    assert main(["tables", *words]) == 1
    assert says in capsys.readouterr().err


def test_runs_and_cells_are_chosen_as_papermill_and_lists_say(tmp_path):
    write_cell(tmp_path / "runs", cell("table2", "cifar10", "RelViT"), {0: 90.0})
    runs, cells = choose()  # from the project
    assert len(runs) == 1 and len(cells) == len(plan.cells())
    assert paper_table("table2", runs, cells).seeds("released")[0] == 1
    texts, lists = (
        choose("runs,more", ["table2"], "released", "0, 1"),
        choose(["runs", "more"], ["table2"], ["released"], [0, 1], preset=None),
    )
    assert texts[1] == lists[1] == plan.cells("table2", "released", (0, 1), run_dir="runs")
    assert choose(names=["figure4"], preset="smoke", dataset="digits")[1][0].fields["dataset"] == "digits"
