"""The notebooks as they are, each executed once in a session for all tests that look at it, whichever process asks."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from relvit_lab.publish.site.execute import Executed, execute_all

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
# these read the committed records; the others find a project without any
READ_RESULTS = ("05_pe_shortcut", "06_task_ablation", "07_paper_tables")


def executed(stem: str, factory: pytest.TempPathFactory) -> Executed:
    """A notebook as the site's builder executes it: from top to bottom, in a project folder of its own."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # above the folders of the workers
    shared = shared / "executed"
    shared.mkdir(exist_ok=True)
    results = ROOT / "results" if stem in READ_RESULTS else shared / "none"
    with FileLock(shared / f"{stem}.lock"):
        (done,) = execute_all([NOTEBOOKS[stem]], shared, results, say=lambda line: None)
    assert done.book, done.failure
    return done


def together(stem: str) -> pytest.MarkDecorator:
    """What looks at one notebook is done by one worker, so that none waits for another."""
    return pytest.mark.xdist_group(f"notebook {stem}")
