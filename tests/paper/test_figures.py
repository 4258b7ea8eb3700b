"""The committed figures are what the code draws; they say what they show, and can be read."""

import base64
import functools
import io
import itertools
import platform
import re
import zlib
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.patches import draw_cuts
from relvit_lab.method.relations import RELATION_NAMES, spatial_relations
from relvit_lab.paper.figures import figure_1 as figure_tokens
from relvit_lab.paper.figures import figure_3 as figure_mega_patches
from relvit_lab.paper.figures.draw import FIGURES, FORMATS, render, write_figures
from relvit_lab.paper.figures.figure_4 import LINE_APART, LOOKS, shortcut_curves
from relvit_lab.show.diagram import CREDITS, quiet
from relvit_lab.show.style import Drawing, apart

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "figures"
DRAWN_BY = ("matplotlib", "numpy", "pillow", "kiwisolver", "fonttools", "torch", "scikit-learn")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def with_results(monkeypatch):
    """Figure 4 is drawn from the committed results/."""
    monkeypatch.setenv("RELVIT_HOME", str(ROOT))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RELVIT_HOME", str(ROOT))
        return {path.name: path.read_bytes() for path in write_figures(folder)}


@functools.cache
def drawing(name: str) -> Drawing:
    return FIGURES[name].draw()


def under_constraints() -> bool:
    """Whether this is what the committed files were drawn with."""
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    installed = all(version(name).split("+")[0] == pins[name] for name in DRAWN_BY)
    return installed and platform.system() == "Linux" and platform.machine() == "x86_64"


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


def pictures_in_svg(data: bytes) -> list[np.ndarray]:
    return [pixels(base64.b64decode(part)) for part in re.findall(rb'base64,([^"]*)"', data, re.DOTALL)]


def without_pictures(svg: bytes) -> bytes:
    return re.sub(rb'base64,[^"]*"', b"", svg)


def page_of_pdf(data: bytes) -> list[bytes]:
    """What the PDF draws: its streams, unpacked, apart from pictures and fonts."""
    parts = re.findall(rb"<<([^>]*)>>\s*stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL)
    return [zlib.decompress(body) for head, body in parts if b"Image" not in head and b"Length1" not in head]


def near(one: list[np.ndarray], other: list[np.ndarray], exact: bool) -> bool:
    """Equal but for the rounding of single pixels (`quiet` has steps of 4), or, not exact, drawn a little otherwise."""
    if [picture.shape for picture in one] != [picture.shape for picture in other]:
        return False
    apart = [np.abs(a - b) for a, b in zip(one, other)]
    return all(values.max() <= 4 if exact else values.mean() < 3 for values in apart)


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"{name}.{kind}" for name in FIGURES for kind in FORMATS])
def test_committed_figures_are_those_of_the_code(name, drawn):
    """Byte for byte under constraints.txt; with other versions pixel for pixel, as near as they draw.

    Another processor may round a pixel of a photograph otherwise: then all else has to be the same.
    """
    new, kept, again = drawn[name], (COMMITTED / name).read_bytes(), "`python -m relvit_lab figures`, then commit"
    if new == kept:
        return
    exact = under_constraints()
    if name.endswith(".png"):
        assert near([pixels(new)], [pixels(kept)], exact), again
    elif name.endswith(".svg"):
        assert near(pictures_in_svg(new), pictures_in_svg(kept), exact), again
        assert not exact or without_pictures(new) == without_pictures(kept), again
    elif exact:
        assert page_of_pdf(new) == page_of_pdf(kept), again


@pytest.mark.parametrize("name", FIGURES)
def test_twice_the_same_bytes(name, drawn):
    """The committed ones were drawn before: what is the same was drawn twice."""
    new = {kind: drawn[f"{name}.{kind}"] for kind in FORMATS}
    if any(data != (COMMITTED / f"{name}.{kind}").read_bytes() for kind, data in new.items()):
        assert render(FIGURES[name]) == new


def test_the_users_own_style_does_not_reach_the_files(drawn):
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "mathtext.fontset": "cm", "savefig.facecolor": "red"}):
        assert render(FIGURES["figure_1_tokens"], ["svg"])["svg"] == drawn["figure_1_tokens.svg"]


def test_nothing_else_lies_in_figures(drawn):
    assert {path.name for path in COMMITTED.iterdir()} == set(drawn)


def test_files_are_small_enough_to_load(drawn):
    assert max(len(data) for name, data in drawn.items() if name.endswith(".png")) < 400_000
    assert max(map(len, drawn.values())) < 600_000


@pytest.mark.parametrize("name", FIGURES)
def test_every_format_says_what_it_shows_and_names_no_date(name, drawn):
    plate = FIGURES[name]
    alt = drawing(name).alt
    assert len(alt) > 100 and (plate.rights in CREDITS.values() or name in ("figure_4_shortcut", "images_seen"))
    svg = ElementTree.fromstring(drawn[f"{name}.svg"])
    title, described = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert (title.text, described.text) == (plate.title, alt) and svg.get("role") == "img"
    assert (svg.get("aria-labelledby"), svg.get("aria-describedby")) == (title.get("id"), described.get("id"))
    png = Image.open(io.BytesIO(drawn[f"{name}.png"])).text
    assert (png["Title"], png["Description"], png.get("Copyright", "")) == (plate.title, alt, plate.rights)
    pdf = drawn[f"{name}.pdf"]
    assert plate.title.encode() in pdf and (b"CC BY 2.0" in pdf) == bool(plate.rights)
    assert alt[:20].encode() in pdf  # further on there may be parentheses, which are escaped
    assert b"CreationDate" not in pdf and b"dc:date" not in drawn[f"{name}.svg"]


def test_ids_in_svg_do_not_clash_on_one_page(drawn):
    ids = [
        set(re.findall(rb'(?:aria-labelledby|aria-describedby)="([^"]*)"', drawn[f"{name}.svg"])) for name in FIGURES
    ]
    assert all(len(own) == 2 for own in ids) and not any(a & b for a, b in itertools.combinations(ids, 2))


# -- what they show -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_words_lie_on_the_sheet_and_not_on_each_other(name):
    """And are large enough for a projector, the photographer's name apart."""
    sheet = drawing(name)
    sheet.draw_without_rendering()
    texts = [text for ax in sheet.axes for text in [*ax.texts, ax.title] if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    for text, place in zip(texts, boxes):
        assert text.get_fontsize() >= (8 if name == "four_targets" else 10) or text.get_text() in CREDITS.values()
        assert place.x0 > 0 and place.x1 < sheet.bbox.x1 and place.y0 > 0 and place.y1 < sheet.bbox.y1, text
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes), 2):
        assert not a.padded(-2).overlaps(b.padded(-2)), (one.get_text(), other.get_text())


def test_relations_in_figure_1_are_those_of_equation_5():
    relations = spatial_relations(figure_tokens.SIDE)
    words = {"L": "left", "C": "centre", "R": "right", "T": "top", "B": "bottom"}
    for _, i, _, j, name, meaning in figure_tokens.EXAMPLES:
        assert RELATION_NAMES[relations[i, j]] == name
        assert meaning in {f"{words[name[0]]}, {words[name[1]]}"}


def test_figure_3_has_wide_and_tall_and_single_patches():
    import torch

    rows, columns = draw_cuts(1, 5, 8, torch.Generator().manual_seed(figure_mega_patches.SEED))[0].tolist()
    sizes = [np.diff([0, *cuts, 8]) for cuts in (rows, columns)]
    shapes = {(int(h), int(w)) for h in sizes[0] for w in sizes[1]}
    assert (1, 1) in shapes and any(w > h for h, w in shapes) and any(h > w for h, w in shapes)
    tall, wide = (divmod(which, 5) for _, which in figure_mega_patches.FOLLOWED)
    assert sizes[0][tall[0]] > sizes[1][tall[1]] and sizes[0][wide[0]] < sizes[1][wide[1]]


def test_pictures_are_rounded_less_than_the_eye_sees():
    values = np.linspace(0, 1, 1001)[:, None, None].repeat(3, axis=2)
    assert np.abs(quiet(values) / 255 - values).max() < 3.6 / 255


# -- Figure 4, on made-up numbers -----------------------------------------------------------------------------------


def series(seeds=3, epochs=8):
    """Made-up curves: a shortcut, two that coincide, and one below them."""
    ends = {"PE": (100, 45), "PE + shuffle": (30, 49), "no PE": (31, 51), "no PE + shuffle": (31, 51)}

    def runs(end):
        return [[end * (1 - 0.5 ** (k + 1)) * (1 - 0.01 * seed) for k in range(epochs)] for seed in range(seeds)]

    return {name: {"sprel": runs(sprel), "accuracy": runs(accuracy)} for name, (sprel, accuracy) in ends.items()}


def line_of(ax, name):
    look = LOOKS[name]
    (found,) = [line for line in ax.lines if line.get_color() == look["color"] and line.get_marker() == look["marker"]]
    return found


def test_curves_are_means_over_seeds_with_a_band_from_lowest_to_highest():
    data = series()
    left, right = shortcut_curves(data, [44.0, 46.0], "title", "note").axes
    for ax, key in ((left, "sprel"), (right, "accuracy")):
        for name in LOOKS:
            line = line_of(ax, name)
            assert list(line.get_xdata()) == list(range(1, 9))
            assert np.allclose(line.get_ydata(), np.mean(data[name][key], axis=0))
    bands = [band.get_paths()[0].vertices[:, 1] for band in left.collections]
    assert len(bands) == 4 and bands[0].max() == max(map(max, data["PE"]["sprel"]))
    (dashed,) = [line for line in right.lines if line.get_color() == "#000000" and len(set(line.get_ydata())) == 1
                 and line.get_xdata()[0] == 1]  # fmt: skip
    assert dashed.get_ydata()[0] == 45 and dashed.is_dashed()


def test_order_of_settings_does_not_matter_and_some_may_be_missing():
    data = series()
    turned = dict(reversed(data.items()))
    assert shortcut_curves(turned, [45.0]).png() == shortcut_curves(data, [45.0]).png()
    some = {name: data[name] for name in ("PE", "no PE")}
    names = [text.get_text() for text in shortcut_curves(some, [45.0]).axes[0].texts]
    assert [name.split("  ")[0] for name in names] == ["PE", "no PE"]


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 1), (1, 2), (5, 100)])
def test_one_seed_has_no_band_and_any_number_of_epochs_is_drawn(seeds, epochs):
    drawing = shortcut_curves(series(seeds, epochs), [45.0] * seeds, note="which runs, at which scale " * 12)
    left, right = drawing.axes
    assert len(left.collections) == (4 if seeds > 1 else 0)
    drawing.draw_without_rendering()
    for ax in (left, right):
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert max(box.x1 for box in boxes) < drawing.bbox.x1 and max(box.y1 for box in boxes) < drawing.bbox.y1
        assert all(tick == round(tick) and 1 <= tick <= epochs for tick in ax.get_xticks()) and len(ax.get_xticks())
    assert max(box.x1 for box in [text.get_window_extent() for text in left.texts]) < right.get_window_extent().x0


def test_lines_differ_without_colour():
    looks = [(str(look["linestyle"]), look["marker"]) for look in LOOKS.values()]
    assert len({style for style, _ in looks}) == len({marker for _, marker in looks}) == len(LOOKS)


def test_figure_4_says_its_numbers_and_which_runs():
    drawing = shortcut_curves(series(), [44.0, 46.0], "Shortcut", "Digits, 3 seeds.")
    for part in ("Shortcut.", "PE 98.6", "from scratch: 45.0", "Digits, 3 seeds."):
        assert part in drawing.alt
    assert drawing.get_supxlabel() == "Digits, 3 seeds."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": {"sprel": [[1.0]], "accuracy": [[1.0]]}}, "unknown setting 'P'.*PE"),
        ({"PE": {"sprel": [], "accuracy": [[1.0]]}}, "'PE' has no values for sprel"),
        ({"PE": {"accuracy": [[1.0]]}}, "'PE' has no values for sprel"),
        ({"PE": {"sprel": [[1.0], [1.0, 2.0]], "accuracy": [[1.0]]}}, "1 and 2 epochs"),
        ({"PE": {"sprel": [[float("nan")]], "accuracy": [[1.0]]}}, "lie in 0 to 100"),
        ({"PE": {"sprel": [[101.0]], "accuracy": [[1.0]]}}, "lie in 0 to 100"),
    ],
)
def test_what_cannot_be_drawn_is_said(change, message):
    with pytest.raises(RelvitError, match=message):
        shortcut_curves(series() | change, [45.0])


def test_no_settings_and_no_baseline_are_errors():
    with pytest.raises(RelvitError, match="at least one"):
        shortcut_curves({}, [45.0])
    with pytest.raises(RelvitError, match="no values"):
        shortcut_curves(series(), [])


@pytest.mark.parametrize("heights", [[50, 50, 50, 50, 50], [0, 0, 1], [100, 99.9, 3], [40, 44, 41], [7]])
def test_names_are_moved_apart_in_order_and_stay_inside(heights):
    heights, least = np.array(heights, dtype=float), LINE_APART * 100
    moved = apart(heights, least, 0, 100)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(moved[order]) > least * 0.999).all() and moved.min() >= 0 and moved.max() <= 100
