"""Notebooks are executed, two at a time, and kept: a second build takes what is there, a killed one goes on."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from relvit_lab.common.files import write_whole
from relvit_lab.common.words import human_time
from relvit_lab.publish.classroom.submissions import read_book

PACKAGE = Path(__file__).parents[2]
RUNS_IN_KERNEL = ("publish/site/carry.py", "publish/site/execute.py")  # the rest of site/ draws what was executed
AT_ONCE = 2
CELL_SECONDS = 900  # a cell that takes longer hangs
TELL = 5.0  # seconds between two lines that say how far it is
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
VIEW = "application/vnd.jupyter.widget-view+json"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Executed:
    """A notebook, executed. book: with outputs and the state of its widgets; None where a cell failed.

    failure: what failed, or "". seconds: that it took.
    """

    path: Path
    book: nbformat.NotebookNode | None
    failure: str = ""
    seconds: float = 0.0

    @property
    def stem(self) -> str:
        return self.path.stem


def execute_all(
    paths: Sequence[Path], cache: Path, results: Path, say: Callable[[str], None] = print
) -> list[Executed]:
    """Execute notebooks, each in a folder of its own in `cache` that holds a copy of `results` and nothing else.

    What was executed is kept in `cache` under a digest of the notebook and the package. A cell that fails ends its
    notebook, not the others. Raises KeyboardInterrupt on Ctrl-C or SIGTERM, once the kernels have ended.
    """
    return asyncio.run(_Work(cache, results, say).run(paths))


class _Work:
    def __init__(self, cache: Path, results: Path, say: Callable[[str], None]):
        self.cache, self.results, self.say = cache, results, say
        self.start = time.monotonic()
        self.clients: dict = {}  # of the running notebooks, by stem
        self.at: dict[str, str] = {}  # how far they are
        self.stopped = False

    async def run(self, paths: Sequence[Path]) -> list[Executed]:
        code = code_digest(self.results)
        books = {path: read_book(path) for path in paths}
        files = {path: self.cache / f"{path.stem}-{book_digest(books[path], code)}.ipynb" for path in paths}
        done = {path: _kept(path, files[path]) for path in paths if files[path].exists()}
        todo = [path for path in paths if path not in done]
        todo.sort(key=lambda path: -_trainings(books[path]))  # those that train take longest, and go first
        count = f"{len(paths)} notebook{'s' * (len(paths) > 1)}"
        together = f", {AT_ONCE} at a time" if len(todo) > 1 else ""
        self.say(f"{count}: {len(done)} kept from an earlier build, {len(todo)} to run{together}")
        room = asyncio.Semaphore(AT_ONCE)
        teller = asyncio.create_task(self.tell())
        tasks = (self.one(path, books[path], files[path], room) for path in todo)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        teller.cancel()
        if self.stopped:
            raise KeyboardInterrupt
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            done[outcome.path] = outcome
        return [done[path] for path in paths]

    async def one(self, path: Path, book: nbformat.NotebookNode, kept: Path, room: asyncio.Semaphore) -> Executed:
        async with room:
            if self.stopped:
                raise asyncio.CancelledError
            begin, home = time.monotonic(), kept.with_suffix("")
            failure = await self._execute(path.stem, book, home)
            seconds = time.monotonic() - begin
            took = human_time(seconds)
            if self.stopped:
                raise asyncio.CancelledError
            if failure:
                self._line(f"{path.stem} FAILED after {took}: {failure.splitlines()[0]}")
                return Executed(path, None, failure, seconds)
            _hide_place(book, home)
            book.metadata["relvit_site"] = {"seconds": round(seconds, 1)}
            write_whole(kept, nbformat.writes(book))
            for old in self.cache.glob(f"{path.stem}-????????????????*"):
                if old != kept:  # of another version; and this one's folder, with what it trained
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
            self._line(f"{path.stem} done in {took}")
            return Executed(path, book, "", seconds)

    async def _execute(self, stem: str, book: nbformat.NotebookNode, home: Path) -> str:
        """Fill in the outputs. Returns what failed, or ""."""
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        home.mkdir(parents=True, exist_ok=True)
        if self.results.is_dir():
            shutil.copytree(self.results, home / "results", dirs_exist_ok=True)
        own = {"RELVIT_HOME": str(home), "RELVIT_PROGRESS": "off", "RELVIT_FACE": "still"}
        environment = {**os.environ, **THREADS, **own}
        at, carried = book.cells[0].id if book.cells else "", set()

        def begins(cell: nbformat.NotebookNode, cell_index: int) -> None:
            nonlocal at
            if self.stopped:
                raise DeadKernelError("stopped")
            at, self.at[stem] = cell.id, f"{stem}: cell {cell_index + 1} of {len(book.cells)}"

        async def carry(cell: nbformat.NotebookNode, cell_index: int, execute_reply: dict) -> None:
            """What a cell's widgets need without a kernel; at once, for later cells may change what they draw from."""
            if new := [name for name in views(cell) if name not in carried]:
                carried.update(new)
                source = f"from relvit_lab.publish.site.carry import carry\ncarry({new!r})"
                extra = nbformat.v4.new_code_cell(source, id=cell.id)
                await client.async_execute_cell(extra, cell_index, store_history=False)
                client.code_cells_executed -= 1

        client = self.clients[stem] = NotebookClient(
            book, kernel_name="python3", timeout=CELL_SECONDS, coalesce_streams=True,
            on_notebook_start=lambda notebook: self._listen(), on_cell_start=begins, on_cell_executed=carry,
        )  # fmt: skip
        try:
            with (home / "kernel.log").open("wb") as log:  # what the kernel itself says, beside its cells
                await client.async_execute(env=environment, cwd=str(home), stdout=log, stderr=log)
        except CellExecutionError as error:
            last = [line for line in COLOURS.sub("", error.traceback).strip().splitlines() if line.strip()][-8:]
            return f"cell '{at}': {error.ename}: {error.evalue}\n" + "\n".join(last)
        except CellTimeoutError:
            return f"cell '{at}' took more than {CELL_SECONDS} s"
        except DeadKernelError:
            return f"cell '{at}': its kernel died (killed, or out of memory? see {home / 'kernel.log'})"
        except RuntimeError as error:
            return f"its kernel did not start: {error} (see {home / 'kernel.log'})"
        finally:
            del self.clients[stem]
            self.at.pop(stem, None)
            self._listen()  # its client has just stopped listening, for all of us
        return ""

    def _listen(self) -> None:
        """Ctrl-C and SIGTERM end all kernels: each client listens for its own alone, and ends the others' listening."""

        def stop() -> None:
            self.stopped = True
            kernels = [client.km for client in self.clients.values() if client.km]
            self.ending = [asyncio.ensure_future(kernel.shutdown_kernel(now=True)) for kernel in kernels]

        with contextlib.suppress(RuntimeError):  # on Windows Ctrl-C comes by itself
            for name in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(name, stop)

    async def tell(self) -> None:
        while True:
            await asyncio.sleep(TELL)
            if self.at:
                self._line("; ".join(self.at.values()))

    def _line(self, text: str) -> None:
        minutes, seconds = divmod(round(time.monotonic() - self.start), 60)
        self.say(f"  {minutes}:{seconds:02}  {text}")


def code_digest(results: Path) -> str:
    """Of all that a notebook's outputs depend on besides itself: the package, the records in `results`, Python."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for root in (PACKAGE, results):
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            drawn_only = root == PACKAGE and name.startswith("publish/site/") and name not in RUNS_IN_KERNEL
            if path.is_file() and "__pycache__" not in path.parts and not drawn_only:
                digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def book_digest(book: nbformat.NotebookNode, code: str) -> str:
    """Of a notebook's cells (not their outputs) and of code_digest, 16 hexadecimal digits."""
    cells = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in book.cells]
    return hashlib.sha256(json.dumps([cells, code]).encode()).hexdigest()[:16]


def _trainings(book: nbformat.NotebookNode) -> int:
    """How many of its cells train."""
    return sum("relvit_lab.run(" in cell.source for cell in book.cells if cell.cell_type == "code")


def _kept(path: Path, file: Path) -> Executed:
    book = nbformat.read(file, 4)
    return Executed(path, book, seconds=book.metadata["relvit_site"]["seconds"])


def views(cell: nbformat.NotebookNode) -> list[str]:
    """The models of the widgets that a cell shows."""
    shown = (output for output in cell.get("outputs", []) if VIEW in output.get("data", {}))
    return [output.data[VIEW]["model_id"] for output in shown]


def _hide_place(book: nbformat.NotebookNode, home: Path) -> None:
    """Paths of the machine that built a page say nothing to its readers: they become relative ones."""

    def relative(text: str | list) -> str:
        return "".join(text).replace(f"{home}{os.sep}", "").replace(str(home), ".")

    for output in (output for cell in book.cells for output in cell.get("outputs", [])):
        if "text" in output:
            output["text"] = relative(output["text"])
        for kind in ("text/plain", "text/html", "text/markdown"):
            if kind in output.get("data", {}):
                output["data"][kind] = relative(output["data"][kind])
