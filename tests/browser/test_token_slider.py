"""The slider over tokens in a real JupyterLab: by keyboard and by mouse, the picture drawn anew by the kernel."""

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright")

from browser import lab

pytestmark = pytest.mark.browser

SOURCE = """
import torch
from relvit_lab.lessons.attention_scores.pictures import score_maps
from relvit_lab.lessons.attention_scores.token_slider import TokenSlider

scores = torch.randn(9, 16, 16, generator=torch.Generator().manual_seed(0))
slider = TokenSlider(lambda token: score_maps(scores, 4, token), side=4, token=6)
slider
"""


@pytest.fixture
def book(chromium: str, jupyter: tuple) -> Iterator[lab.Notebook]:
    with lab.with_cells(chromium, jupyter, {"it": SOURCE, "token": "print(slider.token)"}) as opened:
        yield opened


def test_keys_and_mouse_choose_a_token(book):
    book.run_cell("it")
    box = book.within("it", ".relvit-token-slider")
    box.wait_for(state="visible")
    slider, image = box.get_by_role("slider", name="token j"), box.locator("img")

    def shows(token: int) -> bool:
        return f"seen from patch {token}," in image.get_attribute("alt") and slider.input_value() == str(token)

    assert shows(6) and slider.get_attribute("aria-valuetext") == "6 (row 1, column 2)"
    slider.focus()
    outline = slider.evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline == "solid"  # the focus can be seen
    for key, token in (("ArrowRight", 7), ("ArrowDown", 11), ("ArrowDown", 15), ("ArrowLeft", 14), ("ArrowUp", 10)):
        before = image.get_attribute("src")
        book.page.keyboard.press(key)
        book.wait_until(lambda token=token: shows(token), f"{key} leads to {token}", 20)
        assert image.get_attribute("src") != before
        assert image.evaluate("async image => { await image.decode(); return image.naturalWidth; }") > 500
    for key, token in (("Home", 0), ("ArrowUp", 0), ("ArrowLeft", 0), ("End", 15)):
        book.page.keyboard.press(key)
        book.wait_until(lambda token=token: shows(token), f"{key} leads to {token}", 20)
    place = slider.bounding_box()
    book.page.mouse.click(place["x"] + 9, place["y"] + place["height"] / 2)
    book.wait_until(lambda: shows(0), "a click at the left end leads to 0", 20)
    book.run_cell("token")
    book.wait_until(lambda: book.outputs("token") == ["0\n"], "the kernel knows the token")
    assert not book.complaints and not book.errors()
