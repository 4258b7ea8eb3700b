"""A real JupyterLab and a headless Chromium in it, for tests of what a person sees."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright

FLAGS = (
    "--no-sandbox",  # with its sandbox Chromium does not start as root
    "--disable-dev-shm-usage",  # containers have little shared memory
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # offline, as everything else here
)
VIEWPORT = {"width": 1280, "height": 900}
DRAWN = "document.querySelectorAll('.widget:not([data-drawn])').length === 0"  # all widgets of a page of the site
# What JupyterLab itself says on the browser's console as an error where nothing is wrong: pairs of a part of the place
# and a part of the text. Nothing at all with version 4.6.
NOISE: tuple[tuple[str, str], ...] = ()


@contextmanager
def server(folder: Path, seconds: float = 60) -> Iterator[str]:
    """A JupyterLab on a free port of this machine, with `folder` as its root. Yields its address, token included.

    It keeps its settings and workspaces in a folder beside, and writes its log there (server.log).
    """
    own = folder.parent / f"{folder.name}-lab"
    silent = own / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    silent.parent.mkdir(parents=True)
    silent.write_text('{"fetchNews": "false"}')  # else it asks, in a box over the notebook
    token, port = secrets.token_hex(16), free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True", f"--LabApp.workspaces_dir={own / 'workspaces'}",
        f"--LabApp.user_settings_dir={own / 'settings'}", "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    log = own / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: _answers(f"http://127.0.0.1:{port}/api/status?token={token}"), process, log, seconds)
        yield f"http://127.0.0.1:{port}/lab/tree/{{path}}?token={token}&reset"
    finally:
        process.terminate()  # it ends its kernels, then itself
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()  # its kernels notice, and end too
            process.wait()


def faults(page: Page) -> list[str]:
    """What axe-core finds wrong for people who see, hear or move badly: its serious and critical faults."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@contextmanager
def offline(chromium: str, *flags: str) -> Iterator[Browser]:
    """A browser for pages from disk. Start it after what keeps a loop of its own: Playwright's runs until the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *flags])
        yield browser
        browser.close()


@contextmanager
def page_of(browser: Browser, file: Path, ready: str) -> Iterator[Page]:
    """A file opened with the network off, once `ready` is true in it. Afterwards no complaint on the console, and no
    request but for pages in the file's folder."""
    context = browser.new_context(viewport=VIEWPORT, offline=True)
    page, complaints, requests = context.new_page(), [], []
    page.set_default_timeout(120_000)  # a busy machine
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    until(page, ready)
    yield page
    context.close()
    assert complaints == []
    inside = (f"{file.parent.as_uri()}/", "data:", "blob:")
    assert [url for url in requests if not url.startswith(inside)] == []


def until(page: Page, expression: str, arg: Any = None, seconds: float = 180) -> None:
    """Wait until an expression, or a function of arg, is true in a page. Playwright's own wait asks again from within
    the page, which the policy of our pages forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, f"not within {seconds} s: {expression}"
        page.wait_for_timeout(50)


def away(page: Page, gone: Locator, seconds: float = 20) -> None:
    """Move the pointer away until `gone` is hidden. Once is not enough: the pointer that a browser makes of a tap may
    come after the move."""
    end = time.monotonic() + seconds
    while gone.is_visible():
        assert time.monotonic() < end, f"seen for {seconds} s after the pointer left"
        page.mouse.move(2, 2 + page.evaluate("performance.now() % 5"))
        page.wait_for_timeout(50)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(there: Callable[[], Any], process: subprocess.Popen, log: Path, seconds: float = 60) -> Any:
    """What there() gives, once that is something. Raises AssertionError, with the log's end, where the process ends."""
    end = time.monotonic() + seconds
    while not (found := there()):
        if process.poll() is not None or time.monotonic() > end:
            raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)
    return found


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def notebook(chromium: str, address: str, path: str) -> "Iterator[Notebook]":
    """The notebook `path` open in a browser, its kernel idle. address: from `server`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            page = browser.new_page(viewport=VIEWPORT)
            page.set_default_timeout(180_000)  # a busy machine starts a kernel slowly
            opened = Notebook(page)
            page.goto(address.format(path=path), wait_until="domcontentloaded")
            opened.wait_for_kernel()
            yield opened
        finally:
            browser.close()


@contextmanager
def with_cells(chromium: str, jupyter: tuple[Path, str], cells: Mapping[str, str]) -> "Iterator[Notebook]":
    """A notebook of these cells, {id: code}, open in the JupyterLab of conftest.py, in the kernel of those before."""
    folder, address = jupyter
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}  # else JupyterLab asks which
    made = [v4.new_code_cell(source, id=name) for name, source in cells.items()]
    nbformat.write(v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), folder / "cells.ipynb")
    with notebook(chromium, address, "cells.ipynb") as opened:
        yield opened


class Notebook:
    """A notebook in JupyterLab: commands go through the application object, what is seen is asked of the page."""

    def __init__(self, page: Page):
        self.page = page
        self.complaints: list[str] = []  # errors on the browser's console, JupyterLab's own noise left out
        page.on("console", self._hear)
        page.on("pageerror", self._note_error)

    def _hear(self, message: ConsoleMessage) -> None:
        place = message.location.get("url", "")
        if message.type == "error" and not any(a in place and b in message.text for a, b in NOISE):
            self.complaints.append(f"{message.text} ({place})")

    def _note_error(self, error: Exception) -> None:
        if "[anywidget] Failed to initialize model" not in str(error):  # its own clock of 2 s, on a busy machine
            self.complaints.append(f"uncaught: {error}")

    def wait_for_kernel(self) -> None:
        """Wait until the kernel is idle and no cell runs or waits.

        The kernel's status alone won't do: a message on its control channel makes it idle in the midst of a cell.
        A cell is idle once its reply and all its outputs are there.
        """
        self.page.wait_for_function(
            """() => {
                const panel = window.jupyterapp?.shell?.currentWidget;
                return panel?.context?.isReady && panel.sessionContext?.session?.kernel?.status === 'idle'
                    && [...panel.content.model.cells].every(cell => (cell.executionState ?? 'idle') === 'idle');
            }"""
        )

    def execute(self, command: str) -> None:
        """Start a command of JupyterLab, without waiting for its end."""
        self.page.evaluate("command => { window.jupyterapp.commands.execute(command); }", command)

    def run_all(self) -> None:
        self.execute("notebook:run-all-cells")

    def run_cell(self, cell_id: str) -> None:
        self.show(cell_id)
        self.execute("notebook:run-cell")

    def show(self, cell_id: str) -> None:
        """Select a cell and scroll to it."""
        self.page.evaluate(
            """async id => {
                const content = window.jupyterapp.shell.currentWidget.content;
                const index = content.widgets.findIndex(cell => cell.model.id === id);
                content.deselectAll();
                content.activeCellIndex = index;
                await content.scrollToItem(index, 'start');
            }""",
            cell_id,
        )

    def cells(self) -> dict[str, dict[str, Any]]:
        """All cells as they would be saved now, by id."""
        text = self.page.evaluate(
            "() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON())"
        )
        return {cell["id"]: cell for cell in json.loads(text)["cells"]}

    def within(self, cell_id: str, selector: str) -> Locator:
        """The elements that a cell shows in the page."""
        index = list(self.cells()).index(cell_id)
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{index}'] {selector}")

    def outputs(self, cell_id: str, kind: str = "text/plain") -> list[str]:
        """What a cell has put out, in one MIME type; streams count as text/plain, errors are left out."""
        found = []
        for output in self.cells()[cell_id].get("outputs", []):
            data = {"text/plain": output["text"]} if output["output_type"] == "stream" else output.get("data", {})
            if kind in data:
                found.append("".join(data[kind]))
        return found

    def errors(self) -> list[str]:
        """The errors and warnings in all cells' outputs."""
        return [
            f"{cell_id}: {output.get('ename', 'stderr')} {output.get('evalue', '')}{''.join(output.get('text', ''))}"
            for cell_id, cell in self.cells().items()
            for output in cell.get("outputs", [])
            if output["output_type"] == "error" or output.get("name") == "stderr"
        ]

    def wait_until(self, true: Callable[[], Any], what: str, seconds: float = 60) -> None:
        """Wait until true() is. Raises AssertionError, with what went wrong in the cells."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"not within {seconds} s: {what}. Errors: {self.errors()}"
            self.page.wait_for_timeout(100)  # lets the browser's messages arrive

    def wait_until_done(self, cell_id: str, after: int = 0, seconds: float = 60) -> None:
        """Wait until a cell has its number (one above `after`), and the kernel has nothing more to do."""
        self.wait_until(lambda: (self.number(cell_id) or 0) > after, f"{cell_id} has run", seconds)
        self.wait_for_kernel()

    def number(self, cell_id: str) -> int | None:
        """The number in brackets before a cell; None before it has run, and while it runs."""
        return self.cells()[cell_id]["execution_count"]


class Explorer:
    """An explorer as a person sees it, its cell run anew. shown: its class. asked: the cell that prints its traits."""

    shown: str
    asked = "state"

    def __init__(self, book: Notebook, cell_id: str):
        self.book, self.cell_id, self.page = book, cell_id, book.page
        before = book.number(cell_id) or 0
        book.run_cell(cell_id)
        book.wait_until_done(cell_id, after=before, seconds=120)
        book.show(cell_id)
        self.root = book.within(cell_id, self.shown)
        book.wait_until(lambda: self.root.count() == 1 and self.state("task"), "the explorer is drawn")

    def state(self, name: str) -> str | None:
        return self.root.get_attribute(f"data-{name}")

    def kernel(self) -> str:
        """What it is in the kernel."""
        before = self.book.number(self.asked) or 0
        self.book.run_cell(self.asked)
        self.book.wait_until_done(self.asked, after=before)
        self.book.show(self.cell_id)
        return "".join(self.book.outputs(self.asked)).strip()
