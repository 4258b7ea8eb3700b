"""§4.3 to try out: train on SpRel in the running kernel, switch the embeddings or the shuffle meanwhile, and watch."""

import asyncio
import importlib
import time
import weakref
from typing import Any

import traitlets

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.words import human_rate, human_time
from relvit_lab.lessons.pe_shortcut.lab_figure import LOOKS, recorded_note, tries_figure
from relvit_lab.lessons.pe_shortcut.live_training import (
    EPOCHS,
    NAMES,
    LiveTraining,
    Settings,
    Try,
    floors,
    full_label,
    label,
    marks,
    recorded,
)
from relvit_lab.show.own_image import whole
from relvit_lab.show.still import CONTROLS, FAINTER, HIDE, Widget, script
from relvit_lab.show.style import Drawing

SLOW = ("relvit_lab.method.backbones.vit", "sklearn.datasets")  # modules that take seconds to import, the first time
PAUSE = 0.005  # seconds between two steps, in which the kernel answers others
TELL = 0.25  # seconds between two lines on how far it is, at least
_LABS: "weakref.WeakSet[ShortcutLab]" = weakref.WeakSet()

CSS = f"""
.relvit-lab {{ font-size: 15px; max-width: 1100px }}
.relvit-lab .bar, .relvit-lab fieldset {{ gap: 6px 18px }}
.relvit-lab input {{ width: 17px; height: 17px; margin: 0 }}
.relvit-lab button {{ font-weight: 600; padding: 4px 16px }}
.relvit-lab progress {{ width: 180px; height: 16px }}
.relvit-lab .line {{ font-variant-numeric: tabular-nums; min-height: 1.4em }}
.relvit-lab .said {{ font-weight: 600; min-height: 1.4em; margin: 2px 0 }}
.relvit-lab .failed {{ color: var(--jp-error-color1, #8A2A00); font-weight: 600; white-space: pre-wrap }}
.relvit-lab svg.plot {{ display: block; width: 100%; height: auto }}
.relvit-lab ul {{ list-style: none; margin: 2px 0; padding: 0; display: flex; flex-wrap: wrap; gap: 3px 26px }}
.relvit-lab li {{ display: inline-flex; gap: 8px; align-items: center }}
.relvit-lab .note {{ font-size: 13.5px; color: {FAINTER} }}
"""


class ShortcutLab(Widget):
    """What `shortcut_lab` returns. In Python: start(), stop(), clear(), `await lab.finished()`, and

    tries: a list of records, the running one last: {number, name, state (running, done, stopped or failed), marks, and
    what live_training.Try holds: settings, seed, of, steps, sprel, switches}. pos_embed, shuffle, crop, jitter: the
    toggles; set one while it trains, and it acts from the next step on. failure: the exception that ended the last
    training.
    """

    _esm = script(__file__, "lab.js")
    _css = HIDE + CONTROLS + CSS

    pos_embed = traitlets.Bool(True).tag(sync=True)
    shuffle = traitlets.Bool(False).tag(sync=True)
    crop = traitlets.Bool(True).tag(sync=True)
    jitter = traitlets.Bool(True).tag(sync=True)
    show_recorded = traitlets.Bool(False).tag(sync=True)
    # what the page shows; it changes none of these
    tries = traitlets.List(traitlets.Dict()).tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)  # in words, what has just happened
    failed = traitlets.Unicode("").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)  # step, of, line
    heard = traitlets.Int(0).tag(sync=True)  # the number of the page's last question: so it knows that a kernel answers
    about = traitlets.Dict().tag(sync=True)  # floors, looks; the recorded tries and what they are

    def __init__(self, seed: int = 0, epochs: int = EPOCHS, **fields: object):
        self._given = {"seed": seed, "epochs": epochs, **fields}
        self._task: asyncio.Task | None = None
        self._last: Try | None = None
        self._stop = False
        self.failure: Exception | None = None
        record = recorded()
        super().__init__(about={
            "floors": floors(), "looks": [list(look) for look in LOOKS], "note": recorded_note(record),
            "recorded": [_entry(one, number, "recorded") for number, one in enumerate(record["tries"], 1)],
        })  # fmt: skip
        self.on_msg(self._asked)
        _LABS.add(self)

    # -- for Python, and for the page's buttons ----------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The toggles as they are."""
        return Settings(**{name: getattr(self, name) for name in NAMES})

    def start(self) -> None:
        """Begin a try with the toggles as they are, in the running event loop. Raises RelvitError where one is running,
        and where there is no loop (a notebook has one)."""
        if self.running:
            raise RelvitError("this lab is training already: stop it first, or wait: await lab.finished()")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RelvitError("the lab trains in an event loop: start it in a notebook, or in asyncio.run") from None
        self.running, self._stop, self.failed, self.failure, self._last = True, False, "", None, None
        self.progress = {"step": 0, "of": 1, "line": "starting"}
        self._task = loop.create_task(self._train())

    def stop(self) -> None:
        """End the training after the step that it is in. Nothing happens where none is running."""
        self._stop = True

    def clear(self) -> None:
        """Forget the tries that have ended."""
        self.tries = [one for one in self.tries if one["state"] == "running"]

    async def finished(self) -> Try | None:
        """Wait for the end of the training, and give its record; None where it was stopped before it had one.

        Interrupting the cell that waits stops the training. Raises the error that ended it, and RelvitError where
        nothing was started.
        """
        if self._task is None:
            raise RelvitError("no training was started: lab.start()")
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self.stop()
            raise
        if self.failure is not None:
            raise self.failure
        return self._last

    def close(self) -> None:
        """Take the widget away; its training stops."""
        self.stop()
        super().close()

    # -- the task ----------------------------------------------------------------------------------------------------

    def _asked(self, _: object, content: dict, __: object) -> None:
        """A button of the page: {"do": "start", "stop" or "clear", "number": of the question}."""
        act = content.get("do")
        self.heard = content.get("number", 0)
        if act == "start" and not self.running:
            self.start()
        elif act == "stop":
            self.stop()
        elif act == "clear":
            self.clear()

    async def _train(self) -> None:
        number = max((one["number"] for one in self.tries), default=0) + 1
        live: LiveTraining | None = None
        try:
            self.said = f"Try {number}: {label(self.settings)}. It is being prepared."
            await self._load_libraries()
            self.progress = {"step": 0, "of": 1, "line": "building the model, and a first look at the test images"}
            await asyncio.sleep(0.05)  # so that this is seen before the kernel is busy
            if self._stop:
                self.said = f"Try {number} was stopped before its first step."
                return
            live = LiveTraining(self.settings, **self._given)
            await self._steps(live, number)
            state = "done" if live.done else "stopped"
            self._publish(live, number, state)
            self.said = (
                f"Try {number} {'is done' if live.done else 'was stopped'} after step {live.training.step}: "
                f"SpRel {live.values[-1][1]:.1f} %."
            )
        except Exception as error:  # an exception in a task would be lost
            self.failure = error
            self.failed = f"{type(error).__name__}: {error}"
            self.said = f"Try {number} ended with an error."
            if live is not None:
                self._publish(live, number, "failed")
        finally:
            self.running = False

    async def _load_libraries(self) -> None:
        """In a thread, so that the kernel stays free."""
        began = time.perf_counter()
        loading = asyncio.create_task(asyncio.to_thread(lambda: [importlib.import_module(name) for name in SLOW]))
        while not loading.done():
            line = f"loading libraries, {human_time(time.perf_counter() - began)}"
            self.progress = {"step": 0, "of": 1, "line": line}
            await asyncio.wait([loading], timeout=0.5)
        loading.result()  # raises what the import raised

    async def _steps(self, live: LiveTraining, number: int) -> None:
        self._publish(live, number, "running")
        self.said = f"Try {number} is training: {label(self.settings)}."
        began, busy, told, looks = time.perf_counter(), 0.0, 0.0, len(live.values)
        while not live.done:
            await asyncio.sleep(PAUSE)
            if self._stop:
                return
            start = time.perf_counter()
            if self.settings != live.settings:
                live.switch(self.settings)
                self._publish(live, number, "running")
                at, words = self._last["marks"][-1]
                self.said = f"Try {number}, step {at}: {words}. SpRel {live.values[-1][1]:.1f} %."
            live.step()
            now = time.perf_counter()
            busy += now - start
            if len(live.values) > looks:
                looks = len(live.values)
                self._publish(live, number, "running")
            if now - told > TELL or live.done:
                told = now
                step = live.training.step
                line = _line(live, now - began, busy / step)
                self.progress = {"step": step, "of": live.training.steps, "line": line}

    def _publish(self, live: LiveTraining, number: int, state: str) -> None:
        self._last = _entry(live.record(), number, state)
        self.tries = [*(one for one in self.tries if one["number"] != number), self._last]

    # -- without a browser -------------------------------------------------------------------------------------------

    def in_words(self) -> str:
        """The tries, or the recorded ones where nothing was trained, a line each."""
        shown, head = (self.tries, "tries") if self.tries else (self.about["recorded"], "recorded tries")
        lines = [
            f"  {one['number']}  {one['name']}: SpRel {one['sprel'][-1]:.1f} % after step {one['steps'][-1]}"
            for one in shown
        ]
        return "\n".join([f"Shortcut lab (training needs a running notebook), {head}:", *lines])

    def still_picture(self) -> Drawing:
        return tries_figure(self.tries)


def _entry(one: Try, number: int, state: str) -> Try:
    """A try as the page shows it. marks: [step, what was switched there]."""
    marked = [[step, words] for step, words in marks(one).items()]
    return {"number": number, "name": full_label(one), "state": state, "marks": marked, **one}


def _line(live: LiveTraining, seconds: float, per_step: float) -> str:
    """Step, time, speed, time left."""
    t = live.training
    left = human_time(per_step * (t.steps - t.step))
    rate = human_rate(t.batch_size / per_step)
    return f"step {t.step} of {t.steps}, {human_time(seconds)}, {rate}, about {left} left"


def shortcut_lab(seed: int = 0, epochs: int = EPOCHS, **fields: Any) -> ShortcutLab:
    """Pre-training on SpRel to play with, on digits: it trains in this kernel, which stays free meanwhile.

    seed: of initialisation, order and augmentation. epochs: of each try, 21 steps each. fields: of the Experiment, in
    place of the lab's own. A kernel has one lab that trains: an earlier one's training is stopped.
    Raises RelvitError for a seed or epochs that are no whole numbers, and for epochs below 1.
    """
    seed, epochs = whole(seed, "seed"), whole(epochs, "epochs", 1, 100_000)
    for earlier in _LABS:
        earlier.stop()
    return ShortcutLab(seed, epochs, **fields)
