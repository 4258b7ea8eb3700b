"""The app's page, without a browser: tabs that are made when looked at, and an image of one's own."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from relvit_lab.__main__ import main
from relvit_lab.common.errors import RelvitError
from relvit_lab.publish.app import explorers, serve


@pytest.fixture
def made(monkeypatch) -> list:
    """What was asked of each explorer, (title, image); nothing real is made but the words."""
    import ipywidgets

    asked = []

    def make(title):
        def tell(image):
            asked.append((title, image))
            if isinstance(image, Image.Image) and image.getpixel((0, 0)) == (99, 99, 98):
                raise RelvitError("too bad <b>")
            return ipywidgets.HTML(title)

        return tell

    tabs = tuple(explorers.Tab(tab.title, tab.about, make(tab.title), tab.takes_image) for tab in explorers.TABS)
    monkeypatch.setattr(explorers, "TABS", tabs)
    return asked


def upload(page: explorers.Explorers, name: str, content: bytes) -> None:
    file = {"name": name, "content": memoryview(content), "type": "image/png", "size": len(content)}
    page.own.value = (file | {"last_modified": datetime.now(UTC)},)


def png(side: int, colour: tuple[int, int, int] = (99, 99, 99)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(data, format="png")
    return data.getvalue()


def test_a_tab_is_made_when_it_is_first_looked_at(made):
    page = explorers.Explorers()
    assert made == [("Relations", None)]
    page.tabs.selected_index = 2
    page.tabs.selected_index = 0
    page.tabs.selected_index = 2
    assert made == [("Relations", None), ("Attention scores", None)]
    assert "Notebook 03" in page.tabs.children[2].children[0].value


def test_an_image_of_ones_own_is_for_all_but_the_shortcut_lab(made):
    page = explorers.Explorers()
    page.tabs.selected_index = 4
    page.tabs.selected_index = 0
    made.clear()
    upload(page, "me.png", png(8))
    assert [(title, image.size) for title, image in made] == [("Relations", (224, 224))]  # enlarged
    assert "me.png" in page.said.value and not page.usual.disabled
    page.tabs.selected_index = 4
    assert len(made) == 1
    page.tabs.selected_index = 1
    assert made[1][0] == "Mega-patches" and made[1][1].size == (224, 224)
    page.usual.click()
    assert made[2] == ("Mega-patches", None) and page.usual.disabled and page.said.value.count("me.png") == 0


def test_what_cannot_be_shown_is_said(made):
    page = explorers.Explorers()
    upload(page, "<x>.png", b"no image")
    assert "&lt;x&gt;.png cannot be read" in page.said.value and len(made) == 1
    upload(page, "bad.png", png(9, (99, 99, 98)))
    assert "too bad &lt;b&gt;" in page.tabs.children[0].children[1].value


@pytest.mark.parametrize("tab", explorers.TABS, ids=lambda tab: tab.title)
def test_every_explorer_can_be_made(tab):
    assert tab.make(None).comm is not None
    if tab.takes_image:
        assert tab.make(Image.fromarray(np.random.default_rng(0).integers(0, 255, (240, 300, 3), np.uint8)))


def test_it_is_for_this_machine_and_asks_for_a_token(monkeypatch):
    from voila.app import Voila

    given = {}
    monkeypatch.setattr(Voila, "launch_instance", lambda argv, **more: given.update(argv=argv, **more))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(["app", "--no-browser", "--port", "1234"]) == 0
    assert {"--token", "--Voila.ip=127.0.0.1", "--port=1234", "--no-browser"} <= set(given["argv"])
    assert given["tornado_settings"]["headers"] == serve.OWN


def test_without_voila_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["app"]) == 1
    assert "make setup" in capsys.readouterr().err
