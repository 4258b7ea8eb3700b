"""The game "guess the relation" in a real JupyterLab: by mouse and by keyboard, and its score back in Python."""

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright")

from browser import lab

pytestmark = pytest.mark.browser

CELLS = {
    "game": "from relvit_lab.show.photographs import photograph\n"
    "from relvit_lab.lessons.patch_relations.guess import guess_relation\n"
    'game = guess_relation(photograph(128), model="digits_tasks", rounds=4)\ngame',
    "score": "print(game.score())",
    "answers": "print([(a['level'], a['said'] == a['truth'], a['coarse'], a['all']) for a in game.answers])",
}  # fmt: skip
NAMES = ("LT", "CT", "RT", "LC", "CC", "RC", "LB", "CB", "RB")


@pytest.fixture
def book(chromium: str, jupyter: tuple) -> Iterator[lab.Notebook]:
    with lab.with_cells(chromium, jupyter, CELLS) as opened:
        yield opened


def test_play(book):
    from relvit_lab.lessons.patch_relations.guess import guess_data
    from relvit_lab.show.photographs import photograph

    pairs = guess_data(photograph(128), model="digits_tasks", rounds=4).pairs
    book.run_cell("game")
    game = book.within("game", ".relvit-guess")
    game.wait_for(state="visible")

    def side(relation: int):
        return game.locator(f".cell[data-relation={NAMES[relation]}]")

    score, said, going_on = game.locator(".score"), game.locator(".said"), game.locator(".next")
    assert "Pair 1 of 4" in score.inner_text() and "you: 0 of 0" in score.inner_text()
    assert going_on.is_disabled() and not game.locator(".map").is_visible()

    # The first: right, by mouse.
    _, _, truth, says = pairs["any"][0]
    side(truth).click()
    assert said.inner_text().startswith("Right:") and f"({NAMES[truth]})" in said.inner_text()
    assert "you: 1 of 1 right" in score.inner_text()
    assert f"the model: {int(says == truth)} of 1" in score.inner_text()
    assert side(truth).get_attribute("class") == "cell truth" and "you ✓" in side(truth).inner_text()
    assert "model" in side(says).inner_text() and side(truth).is_disabled()
    assert game.locator(".map").is_visible()  # where the two lie
    ink = game.locator(".map").evaluate(
        "map => { const size = map.width / 4, context = map.getContext('2d');"
        " return [...Array(16).keys()].filter(t => {"
        " const [r, g, b] = context.getImageData((t % 4 + .5) * size, (Math.floor(t / 4) + .5) * size, 1, 1).data;"
        " return r !== 228 || g !== 228 || b !== 228; }); }"
    )
    assert ink == sorted(pairs["any"][0][:2])  # the two patches, in their places, and no other

    # The second: wrong, by keyboard alone.
    focused = "() => document.activeElement.dataset.relation ?? document.activeElement.className"
    assert book.page.evaluate(focused) == "next"
    book.page.keyboard.press("Enter")
    assert "Pair 2 of 4" in score.inner_text() and said.inner_text() == ""
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp"):
        book.page.keyboard.press(key)
    assert book.page.evaluate(focused) == "LT"  # and no further
    for key, reached in (
        ("ArrowDown", "LC"), ("ArrowRight", "RC"), ("ArrowDown", "RB"), ("ArrowLeft", "CB"), ("ArrowUp", "CT"),
    ):  # fmt: skip
        book.page.keyboard.press(key)
        assert book.page.evaluate(focused) == reached, key
    _, _, truth, _ = pairs["any"][1]
    wrong = 1 if truth != 1 else 0
    if wrong == 0:
        book.page.keyboard.press("ArrowLeft")
    book.page.keyboard.press("Enter")
    assert said.inner_text().startswith("Not so:") and f"({NAMES[truth]})" in said.inner_text()
    assert side(wrong).get_attribute("class") == "cell wrong" and "you ✗" in side(wrong).inner_text()
    assert "you: 1 of 2 right" in score.inner_text()

    # Neighbours, as the model sees them, with all patches beside.
    game.locator("select").select_option("near")
    game.get_by_label("in the model's own pixels").check()
    game.get_by_label("with all other patches").check()
    assert "Pair 1 of 4" in score.inner_text() and game.locator(".map").is_visible()
    colours = game.locator(".big").evaluate(
        "big => new Set([...Array(big.width).keys()].map("
        "x => big.getContext('2d').getImageData(x, 90, 1, 1).data.join())).size"
    )
    assert colours <= 2  # a patch of 2 x 2 pixels
    for k, (_, _, truth, _) in enumerate(pairs["near"]):
        side(truth).click()
        assert f"you: {k + 1} of {k + 1} right" in score.inner_text()
        if k < 3:
            going_on.click()
    assert "the last pair" in said.inner_text() and going_on.is_disabled()
    assert book.page.evaluate("() => document.activeElement.tagName") == "SELECT"  # never lost

    book.run_cell("score")
    book.wait_until_done("score")
    book.run_cell("answers")
    book.wait_until_done("answers")
    (table,), (answers,) = book.outputs("score"), book.outputs("answers")
    assert "1 of 2 (50 %)" in table and "4 of 4 (100 %)" in table
    assert answers.count("('near', True, True, True)") == 4 and "('any', False, False, False)" in answers
    assert book.errors() == [] and book.complaints == []
