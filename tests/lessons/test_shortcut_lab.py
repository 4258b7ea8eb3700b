"""The shortcut lab without a browser: its task in an event loop, its tries, its errors, and the static figure."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.pe_shortcut.lab import ShortcutLab, shortcut_lab
from relvit_lab.lessons.pe_shortcut.lab_figure import LOOKS, tries_figure
from relvit_lab.lessons.pe_shortcut.live_training import Settings, floors, full_label, recorded, train

SMALL = {"train_images": 96, "test_images": 40, "batch_size": 32, "epochs": 4}  # 12 steps


def within(coroutine: Coroutine, seconds: float = 60):
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def step(lab: ShortcutLab) -> int:
    return lab.progress.get("step", 0)


# -- training ------------------------------------------------------------------------------------------------------


def test_a_whole_try_is_that_of_the_live_training():
    async def go(lab: ShortcutLab) -> dict:
        lab.start()
        assert lab.running
        return await lab.finished()

    lab = shortcut_lab(**SMALL)
    assert lab.tries == [] and not lab.running
    got = within(go(lab))
    expected = train(Settings(), **SMALL)
    assert {name: got[name] for name in expected} == expected and lab.tries == [got]
    assert (got["number"], got["state"], got["name"]) == (1, "done", "PE, crop, jitter")
    assert not lab.running and lab.failure is None and lab.failed == ""
    assert lab.progress["step"] == lab.progress["of"] == 12
    line = lab.progress["line"]
    assert "step 12 of 12" in line and "img/s" in line and "left" in line
    assert lab.said == f"Try 1 is done after step 12: SpRel {got['sprel'][-1]:.1f} %."


def test_the_loop_stays_free_and_a_switch_acts_on_the_next_step():
    async def go(lab: ShortcutLab) -> dict:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while lab.running:
                turns += 1
                await asyncio.sleep(0)

        lab.start()
        beside = asyncio.create_task(other())
        await until(lambda: len(lab.tries) > 0)
        lab.pos_embed, lab.jitter = False, False
        record = await lab.finished()
        await beside
        assert turns > 12
        return record

    record = within(go(shortcut_lab(**SMALL)))
    assert [(switch["setting"], switch["on"]) for switch in record["switches"]] == [
        ("pos_embed", False),
        ("jitter", False),
    ]
    (at,) = {switch["step"] for switch in record["switches"]}
    assert record["marks"] == [[at, "PE off, jitter off"]]
    assert record["steps"].count(at) == 2 and record["settings"] == dataclasses.asdict(Settings())


def test_the_same_seed_and_settings_give_the_same_curve_whatever_else_runs_in_the_loop():
    async def go(seed: int) -> list[dict]:
        lab = shortcut_lab(seed, **SMALL)
        for _ in range(2):
            lab.start()
            while lab.running:
                torch.rand(5)  # another cell draws
                await asyncio.sleep(0.002)
        return lab.tries

    (first, second), (other, _) = within(go(1)), within(go(2))
    assert first["sprel"] == second["sprel"] and first["steps"] == second["steps"]
    assert first["sprel"] != other["sprel"]
    assert [one["number"] for one in (first, second)] == [1, 2]


@pytest.mark.xdist_group("timing")
def test_stop_clear_and_one_training_at_a_time():
    async def go(lab: ShortcutLab) -> None:
        lab.start()
        with pytest.raises(RelvitError, match="is training already"):
            lab.start()
        await until(lambda: len(lab.tries) == 1)
        begun = time.monotonic()
        lab.stop()
        record = await lab.finished()
        assert time.monotonic() - begun < 1
        assert record["state"] == "stopped" and record["steps"][-1] < 12 and "was stopped" in lab.said
        lab.start()
        await until(lambda: len(lab.tries) == 2)
        lab.clear()
        assert [one["number"] for one in lab.tries] == [2]  # the running one stays
        await lab.finished()
        lab.clear()
        assert lab.tries == []
        lab.start()
        lab.stop()  # before it has begun
        assert await lab.finished() is None and lab.tries == [] and not lab.running

    within(go(shortcut_lab(**SMALL)))


@pytest.mark.parametrize("end", ["another lab", "close"])
def test_another_lab_and_closing_stop_the_training(end):
    async def go(lab: ShortcutLab) -> dict:
        lab.start()
        await until(lambda: len(lab.tries) == 1)
        shortcut_lab(**SMALL) if end == "another lab" else lab.close()
        return await lab.finished()

    assert within(go(shortcut_lab(**SMALL)))["state"] == "stopped"


def test_interrupting_the_cell_that_waits_stops_the_training():
    async def go(lab: ShortcutLab) -> None:
        lab.start()
        await until(lambda: len(lab.tries) == 1)
        waiting = asyncio.create_task(lab.finished())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await lab.finished())["state"] == "stopped"

    within(go(shortcut_lab(**SMALL)))


def test_an_error_is_shown_and_raised_and_the_next_try_starts(monkeypatch):
    async def go(lab: ShortcutLab) -> None:
        lab.start()
        with pytest.raises(RelvitError, match="unknown backbone"):
            await lab.finished()
        assert "unknown backbone 'vit_nan'" in lab.failed and isinstance(lab.failure, RelvitError)
        assert not lab.running and lab.said == "Try 1 ended with an error." and lab.tries == []
        lab._given["backbone"] = "vit_nano"
        lab.start()
        assert lab.failed == ""
        await until(lambda: len(lab.tries) == 1)
        monkeypatch.setattr("relvit_lab.lessons.pe_shortcut.live_training.LiveTraining.step", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await lab.finished()
        assert lab.tries[0]["state"] == "failed" and "ZeroDivisionError" in lab.failed

    within(go(shortcut_lab(backbone="vit_nan", **SMALL)))


def test_without_a_loop_or_a_start_it_says_what_to_do():
    lab = shortcut_lab(**SMALL)
    with pytest.raises(RelvitError, match="event loop"):
        lab.start()
    assert not lab.running
    with pytest.raises(RelvitError, match=r"lab\.start\(\)"):
        within(lab.finished())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"epochs": 0}, "epochs is a whole number from 1 to 100000, not 0"),
        ({"epochs": 1.5}, "epochs is a whole number from 1 to 100000, not 1.5"),
        ({"seed": "none"}, "seed is a whole number, not 'none'"),
    ],
)
def test_what_cannot_be_trained_is_said_before_the_start(arguments, said):
    with pytest.raises(RelvitError, match=said):
        shortcut_lab(**arguments)


def test_the_pages_buttons():
    async def go(lab: ShortcutLab) -> None:
        def press(what: str, number: int) -> None:
            lab._handle_custom_msg({"do": what, "number": number}, [])
            assert lab.heard == number

        press("start", 1)
        press("start", 2)  # twice: nothing more
        await until(lambda: len(lab.tries) == 1)
        press("clear", 3)
        assert len(lab.tries) == 1
        press("stop", 4)
        assert (await lab.finished())["state"] == "stopped"
        press("clear", 5)
        assert lab.tries == []

    within(go(shortcut_lab(**SMALL)))


# -- what is shown -------------------------------------------------------------------------------------------------


def test_the_page_gets_the_recorded_tries_and_what_they_are():
    about = shortcut_lab().about
    for sent, one in zip(about["recorded"], recorded()["tries"], strict=True):
        assert {name: sent[name] for name in one} == one and sent["name"] == full_label(one)
    assert about["floors"] == floors() and len(about["looks"]) == len(LOOKS)
    assert "digits, 1,297 training images" in about["note"] and "seed 0" in about["note"]


def test_without_a_browser_the_tries_are_said_in_words():
    lab = shortcut_lab(**SMALL)
    words = lab._repr_mimebundle_()[0]["text/plain"]
    assert "recorded tries" in words and "PE, crop, jitter: SpRel 100.0 % after step 252" in words
    within(_whole(lab))
    words = lab._repr_mimebundle_()[0]["text/plain"]
    assert "recorded" not in words and f"SpRel {lab.tries[0]['sprel'][-1]:.1f} % after step 12" in words


async def _whole(lab: ShortcutLab) -> None:
    lab.start()
    await lab.finished()


def curves(figure) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].lines if line.get_label()[0] != "_"}


def test_the_figure_draws_the_labs_tries_and_the_recorded_ones_where_there_are_none():
    assert tries_figure([]).alt == tries_figure().alt and len(curves(tries_figure())) == len(recorded()["tries"])
    lab = shortcut_lab(**SMALL)
    within(_whole(lab))
    within(_whole(lab))
    figure = tries_figure(lab.tries)
    drawn = curves(figure)
    assert len(drawn) == 2
    for (name, points), one in zip(drawn.items(), lab.tries):
        assert name.startswith(f"{one['number']}  {one['name']}") and name in figure.alt
        assert points.tolist() == [list(pair) for pair in zip(one["steps"], one["sprel"])]
    assert figure.png().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_switches_are_marked_in_the_figure_and_their_words_do_not_overlap():
    off, first = {"setting": "pos_embed", "on": False}, recorded()["tries"][0]
    tries = [{**first, "switches": [{"step": at, **off}]} for at in (80, 84, 88)]
    figure = tries_figure(tries)
    figure.png()
    upright = [line.get_xdata() for line in figure.axes[0].lines if line.get_label()[0] == "_"]
    assert [x[0] for x in upright if x[0] == x[1]] == [80, 84, 88]
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if "PE off" in text.get_text()]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_numbers_in_the_notebooks_text_are_the_recorded_ones():
    book = nbformat.read(Path(__file__).parents[2] / "notebooks" / "05_pe_shortcut.ipynb", 4)
    (text,) = (" ".join(cell.source.split()) for cell in book.cells if cell.id == "lab-read")
    _, _, plain, _, taken, _, bare = recorded()["tries"]
    at = taken["steps"].index(taken["switches"][0]["step"])
    before, after = taken["sprel"][at : at + 2]
    assert f"from {before:.1f} to {after:.1f} %" in text
    end = [one["sprel"][-1] for one in (taken, plain, bare)]
    assert "ends at {:.1f} %, the one that never had PE at {:.1f} %".format(*end) in text
    assert f"crop and jitter {end[1]:.1f}," in text and f"neither {end[2]:.1f}," in text


def test_looks_are_told_apart_without_colour_and_bad_tries_are_named():
    for part in range(3):
        assert len({one[part] for one in LOOKS}) == len(LOOKS)
    for bad in ([{**recorded()["tries"][0], "sprel": [1.0]}], [{**recorded()["tries"][0], "steps": []}]):
        with pytest.raises(RelvitError, match="at least one try"):
            tries_figure(bad)
