"""What notebook 09 says of the models holds for those in the package: read off the numbers that it shows."""

import math
import re

import pytest
from executed import executed, together

from relvit_lab.lessons.ask import PREDICTIONS
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.lessons.what_it_learned import measures
from relvit_lab.lessons.what_it_learned.images import thousand
from relvit_lab.lessons.what_it_learned.models import ASSETS, CHEAT, RELVIT, SUPERVISED, UNTRAINED
from relvit_lab.method.tasks import TASKS
from relvit_lab.train.evaluate import chance
from relvit_lab.train.trained import load

STEM = "09_what_it_learned"
pytestmark = [together(STEM), pytest.mark.long]
IMAGES, FLOOR = 1000, chance(TASKS["sprel"], 8)
ask.load_all()


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, str]:
    """The text of each cell's outputs, a picture's alt text among them, by the cell's id."""
    cells = executed(STEM, tmp_path_factory).book.cells
    return {
        cell.id: "\n".join(out.get("text", "") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)
        for cell in cells
        if cell.cell_type == "code"
    }


def numbers(text: str, row: str) -> list[float]:
    """Those that follow the name of a row, up to the end of its line or clause."""
    (found,) = re.findall(rf"(?:^|[:;.,] ?){re.escape(row)}:?((?: +[^\n;]*)?)", text, re.MULTILINE)
    return [float(number) for number in re.findall(r"[\d.]*\d", found)]


def error(*shares: float) -> float:
    """The standard error of the difference between shares in % of the notebook's images."""
    return math.sqrt(sum(p * (100 - p) for p in shares) / IMAGES)


def test_all_five_models_are_shown(said):
    for name in (UNTRAINED, *ASSETS):
        assert re.search(rf"^{name} ", said["models"], re.MULTILINE)


def test_neighbours(said):
    found = {}  # (place, its error, label, its error, pixels, its error)
    for name in (UNTRAINED, *ASSETS):
        found[name] = numbers(said["nearest-count"], name)
    blindly = numbers(said["nearest-count"], "drawn blindly")
    assert PREDICTIONS["09-nearest"].answer == "the place"
    cheat, relvit, fresh = found[CHEAT], found[RELVIT], found[UNTRAINED]
    assert cheat[0] > 90 and cheat[4] > 75 and cheat[2] < blindly[1] + 4
    assert fresh[4] < 40 and fresh[4] + 10 < relvit[4] < cheat[4] - 10
    assert blindly[0] + 2 * relvit[1] < relvit[0] < 6
    assert relvit[2] < fresh[2] + 2 * math.hypot(relvit[3], fresh[3])
    assert max(found, key=lambda name: found[name][2]) == SUPERVISED
    assert found[SUPERVISED][2] > fresh[2] + 3 * math.hypot(found[SUPERVISED][3], fresh[3])


def test_shares(said):
    assert PREDICTIONS["09-place"].answer == "less than a tenth"
    printed, _, alt = said["shares"].partition("Variance of tokens in %")
    assert numbers(printed, RELVIT)[0] < 10
    found = {name: numbers(alt, name) for name in (UNTRAINED, SUPERVISED, RELVIT, CHEAT)}
    assert found[CHEAT][0] > 80 and found[CHEAT][1] < 2
    assert found[RELVIT][0] < 10 and found[RELVIT][1] + 5 < found[UNTRAINED][1]
    assert found[SUPERVISED][1] > 30 and found[SUPERVISED][1] == max(row[1] for row in found.values())
    abspos = load(ASSETS[RELVIT]).metrics["abspos"]
    assert abspos > 2 * chance(TASKS["abspos"], 8)


def test_the_cheat_paints_one_picture():
    images = thousand().images[:100]
    one_picture = {}
    for name in (CHEAT, RELVIT):
        tokens = measures.features(load(ASSETS[name]), images)[:, 1:]
        one_picture[name] = measures.shares(measures.colours(tokens, tokens)).place
    assert one_picture[CHEAT] > 80 and one_picture[RELVIT] < 40


def test_probes(said):
    assert PREDICTIONS["09-probe"].answer == "RelViT, and the cheat does not"
    rows = ("pixels", UNTRAINED, f"{UNTRAINED}, seed 1", f"{UNTRAINED}, seed 2", SUPERVISED, RELVIT, CHEAT)
    found = {}
    for name in rows:
        pattern = rf"mean of the patch tokens, {name}: k-NN (\d+), linear (\d+)"
        found[name] = [float(value) for value in re.search(pattern, said["probes"]).groups()]
    for k in (0, 1):  # k-NN, linear probe
        floor = max(found[name][k] for name in rows[:4])
        relvit, cheat, supervised = (found[name][k] for name in (RELVIT, CHEAT, SUPERVISED))
        assert relvit - floor > 2 * error(relvit, floor)
        assert cheat - floor < error(cheat, floor)
        assert supervised - relvit > 2 * error(supervised, relvit)


def test_the_answer_layer_by_layer(said):
    assert PREDICTIONS["09-lens"].answer == "nearly all on collages, far fewer on noise"
    found = {
        (what, name): numbers(said["lens"], f"{what}, {name}")
        for what in ("photographs", "collages", "noise")
        for name in (RELVIT, CHEAT)
    }
    relvit, collage = found["photographs", RELVIT], found["collages", RELVIT]
    assert relvit[0] < FLOOR and relvit[-1] > FLOOR + 8 and collage[-1] < FLOOR + 4
    cheat, collage = found["photographs", CHEAT], found["collages", CHEAT]
    assert cheat[0] > FLOOR + 10 and cheat[-1] > 95
    assert max(abs(a - b) for a, b in zip(cheat, collage, strict=True)) < 4
    assert found["noise", CHEAT][-1] < 0.75 * cheat[-1]


def test_what_noise_does_to_the_cheat(said):
    embedding, patch = map(float, re.search(r"embedding ([\d.]+), of a patch .* ([\d.]+)", said["faint"]).groups())
    steps = re.findall(r"strength ([\d.]+): length of a patch ([\d.]+), +([\d.]+) %", said["faint"])
    lengths, right = ([float(step[k]) for step in steps] for k in (1, 2))
    assert embedding < patch and lengths[0] > 1.7 * patch and lengths == sorted(lengths, reverse=True)
    assert right == sorted(right) and right[-1] > 95


def test_curves(said):
    first, last = numbers(said["curves"], f"SpRel, %, {CHEAT}")
    assert first > 0.9 * last and PREDICTIONS["09-curve"].answer == "more than nine tenths"
    first, last = numbers(said["curves"], f"class accuracy, %, {SUPERVISED}")
    assert first + 5 < last
    first, last = numbers(said["curves"], f"SpRel, %, {RELVIT}")
    assert first + 2 < last
