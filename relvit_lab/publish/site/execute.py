"""Notebooks are executed, two at a time, and kept: a second build takes what is there, a killed one goes on."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from relvit_lab.common.words import human_time
from relvit_lab.publish.classroom.submissions import read_book
from relvit_lab.publish.site.files import book_digest, code_digest, write_whole

AT_ONCE = 2
CELL_SECONDS = 900  # a cell that takes longer hangs
TELL = 5.0  # seconds between two lines that say how far it is
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
VIEW = "application/vnd.jupyter.widget-view+json"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Executed:
    """A notebook, executed. book: with outputs and the state of its widgets; None where a cell failed.

    failure: what failed, or "". seconds: that it took. kept: whether it was taken from the cache.
    """

    path: Path
    book: nbformat.NotebookNode | None
    failure: str = ""
    seconds: float = 0.0
    kept: bool = False

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
    return asyncio.run(_Work(paths, cache, results, say).run())


class _Work:
    def __init__(self, paths: Sequence[Path], cache: Path, results: Path, say: Callable[[str], None]):
        self.paths, self.cache, self.results, self.say = paths, cache, results, say
        self.start = time.monotonic()
        self.running: dict[str, tuple[int, int, float]] = {}  # by stem: cells done, all cells, when it started
        self.waiting: list[str] = []
        self.clients: list = []  # of the running notebooks
        self.stopped = False

    async def run(self) -> list[Executed]:
        code = code_digest(self.results)
        books = {path: read_book(path) for path in self.paths}
        files = {path: self.cache / f"{path.stem}-{book_digest(books[path], code)}.ipynb" for path in self.paths}
        done = {path: _kept(path, files[path]) for path in self.paths if files[path].exists()}
        todo = [path for path in reversed(self.paths) if path not in done]  # the later ones train: they take longest
        self.before = {path.stem: _seconds_before(self.cache, path.stem) for path in todo}
        todo.sort(key=lambda path: -(self.before[path.stem] or 0))  # where it is known, by that
        self.waiting = [path.stem for path in todo]
        count = f"{len(self.paths)} notebook{'s' * (len(self.paths) > 1)}"
        together = f", {AT_ONCE} at a time" if len(todo) > 1 else ""
        self.say(f"{count}: {len(done)} kept from an earlier build, {len(todo)} to run{together}")
        room = asyncio.Semaphore(AT_ONCE)
        tasks = [asyncio.create_task(self.one(path, books[path], files[path], room)) for path in todo]
        teller = asyncio.create_task(self.tell())
        try:
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            teller.cancel()
        if self.stopped:
            raise KeyboardInterrupt
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            done[outcome.path] = outcome
        return [done[path] for path in self.paths]

    async def one(self, path: Path, book: nbformat.NotebookNode, kept: Path, room: asyncio.Semaphore) -> Executed:
        async with room:
            if self.stopped:
                raise asyncio.CancelledError
            self.waiting.remove(path.stem)
            begin = time.monotonic()
            home = kept.with_suffix("")
            self.running[path.stem] = (0, len(book.cells), begin)
            try:
                failure = await self._execute(path.stem, book, home)
            finally:
                self.running.pop(path.stem)
                self._listen()  # its client has just stopped listening, for all of us
            seconds = time.monotonic() - begin
            if self.stopped:
                raise asyncio.CancelledError
            if failure:
                self._line(f"{path.stem} FAILED after {human_time(seconds)}: {failure.splitlines()[0]}")
                return Executed(path, None, failure, seconds)
            _hide_place(book, home)
            book.metadata["relvit_site"] = {"seconds": round(seconds, 1)}
            write_whole(kept, nbformat.writes(book))
            for old in self.cache.glob(f"{path.stem}-????????????????*"):
                if old != kept:  # of another version; and this one's folder, with what it trained
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
            self._line(f"{path.stem} done in {human_time(seconds)}")
            return Executed(path, book, "", seconds)

    async def _execute(self, stem: str, book: nbformat.NotebookNode, home: Path) -> str:
        """Fill in the outputs. Returns what failed, or ""."""
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        home.mkdir(parents=True, exist_ok=True)
        if self.results.is_dir():
            shutil.copytree(self.results, home / "results", dirs_exist_ok=True)
        client = NotebookClient(book, kernel_name="python3", timeout=CELL_SECONDS, coalesce_streams=True)
        environment = {**os.environ, **THREADS, "RELVIT_HOME": str(home), "RELVIT_FACE": "live"}
        log = (home / "kernel.log").open("wb")  # what the kernel itself says, beside its cells
        book.cells.append(nbformat.v4.new_code_cell(id="carry"))  # taken off again
        self.clients.append(client)
        cell, carried = book.cells[0], set()
        try:
            client.reset_execution_trackers()
            async with client.async_setup_kernel(env=environment, cwd=str(home), stdout=log, stderr=log):
                self._listen()
                for index, cell in enumerate(book.cells[:-1]):
                    await client.async_execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
                    self.running[stem] = (index + 1, *self.running[stem][1:])
                    new = [name for name in views(cell) if name not in carried]
                    if new:  # at once: later cells may change what a widget draws from
                        book.cells[-1].source = f"from relvit_lab.publish.site.carry import carry\ncarry({new!r})"
                        await client.async_execute_cell(book.cells[-1], len(book.cells) - 1, store_history=False)
                        client.code_cells_executed -= 1
                        carried.update(new)
                client.set_widgets_metadata()
        except CellExecutionError as error:
            last = [line for line in COLOURS.sub("", error.traceback).strip().splitlines() if line.strip()][-8:]
            return f"cell '{cell.id}': {error.ename}: {error.evalue}\n" + "\n".join(last)
        except CellTimeoutError:
            return f"cell '{cell.id}' took more than {CELL_SECONDS} s"
        except DeadKernelError:
            return f"cell '{cell.id}': its kernel died (killed, or out of memory? see {home / 'kernel.log'})"
        except RuntimeError as error:
            return f"its kernel did not start: {error} (see {home / 'kernel.log'})"
        finally:
            log.close()
            book.cells.pop()
            self.clients.remove(client)
        return ""

    def _listen(self) -> None:
        """Ctrl-C and SIGTERM end all kernels: each client listens for its own alone, and ends the others' listening."""

        def stop() -> None:
            self.stopped = True
            self.ending = [asyncio.ensure_future(client.km.shutdown_kernel(now=True)) for client in self.clients]

        with contextlib.suppress(RuntimeError):  # on Windows Ctrl-C comes by itself
            for name in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(name, stop)

    # -- how far it is -------------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        while True:
            await asyncio.sleep(TELL)
            now = "; ".join(f"{stem}: cell {done} of {all_}" for stem, (done, all_, _) in self.running.items())
            if now:
                self._line(f"{now}; {self._left()}")

    def _line(self, text: str) -> None:
        minutes, seconds = divmod(round(time.monotonic() - self.start), 60)
        self.say(f"  {minutes}:{seconds:02}  {text}")

    def _left(self) -> str:
        """From the times of an earlier build where there was one, else from the cells; two notebooks at a time."""
        now, left = time.monotonic(), []
        for stem, (done, all_, begin) in self.running.items():
            before = self.before[stem]
            if before is None and done < 5:
                return "time left: not known yet"
            total = before or (now - begin) * all_ / done
            left.append(max(total - (now - begin), 1))
        known = [self.before[stem] for stem in self.waiting if self.before[stem]]
        if len(known) < len(self.waiting):
            return f"{len(self.waiting)} more after that"
        total = max(max(left), (sum(left) + sum(known)) / AT_ONCE)
        return f"about {human_time(max(10, round(total, -1)))} left"


def views(cell: nbformat.NotebookNode) -> list[str]:
    """The models of the widgets that a cell shows."""
    return [
        output.data[VIEW]["model_id"]
        for output in cell.get("outputs", [])
        if VIEW in output.get("data", {})
    ]  # fmt: skip


def _kept(path: Path, file: Path) -> Executed:
    book = nbformat.read(file, 4)
    return Executed(path, book, seconds=book.metadata["relvit_site"]["seconds"], kept=True)


def _seconds_before(cache: Path, stem: str) -> float | None:
    """How long an earlier version of a notebook took."""
    for file in cache.glob(f"{stem}-*.ipynb"):
        return nbformat.read(file, 4).metadata.get("relvit_site", {}).get("seconds")
    return None


def _hide_place(book: nbformat.NotebookNode, home: Path) -> None:
    """Paths of the machine that built a page say nothing to its readers: they become relative ones."""

    def relative(text: str | list) -> str:
        return "".join(text).replace(f"{home}{os.sep}", "").replace(str(home), ".")

    outputs: Iterable = (output for cell in book.cells for output in cell.get("outputs", []))
    for output in outputs:
        if "text" in output:
            output["text"] = relative(output["text"])
        for kind in ("text/plain", "text/html", "text/markdown"):
            if kind in output.get("data", {}):
                output["data"][kind] = relative(output["data"][kind])
