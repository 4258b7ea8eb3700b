"""What all tests share: nothing leaves this machine, nothing is written into the project, every draw is repeatable."""

import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

OFFLINE = Path(__file__).parent / "offline"
# Loaded by its path: a Python may have a sitecustomize of its own, and has imported that already.
_spec = importlib.util.spec_from_file_location("relvit_offline", OFFLINE / "sitecustomize.py")
offline = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(offline)

THREADS = 1  # two busy processes with two threads each slow one another tenfold on two cores
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Without a deadline (a busy machine is no failure), and the same examples each time. To look further:
# pytest --hypothesis-profile=search
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("fixed")


def pytest_configure(config: pytest.Config) -> None:
    """The environment of the whole session, which the processes that tests start inherit."""
    config.option.loadscopereorder = False  # pytest-xdist's order by number of tests has the browser's, long ones, last
    home = Path(tempfile.mkdtemp(prefix="relvit-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ["RELVIT_HOME"] = str(home)  # for fixtures of a module or session; each test has its own, below
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read when torch is imported
        os.environ[name] = str(THREADS)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        os.environ[name] = str(home / name.lower())  # whatever the user has set up is neither read nor changed


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `-n 2 --dist loadgroup`: the tests of a file go to one worker, which makes the file's fixtures once, but for
    those that name a group of their own."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Relative paths (runs, data) are taken from the test's own temporary folder."""
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """A draw that is given no generator comes out the same each time, and whichever tests ran before."""
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """Ctrl-C and the terminal's end are heard, even where these tests run in the background or under nohup."""
    heard = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in heard.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def network_attempts() -> list[str]:
    """The hosts this test has tried to reach so far (each attempt raised a ConnectionError). A test that means to try
    asks for this fixture; any other fails where it tries."""
    return offline.attempts


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """An attempt fails the test even where the code caught the error. Other processes are refused, but not counted."""
    offline.attempts.clear()
    yield
    if offline.attempts and "network_attempts" not in request.fixturenames:
        pytest.fail(f"this test asked for the network: {', '.join(sorted(set(offline.attempts)))}")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory):
    """Finished and stopped runs to begin with, see smoke_runs.py."""
    from smoke_runs import SmokeRuns

    return SmokeRuns(tmp_path_factory.mktemp("smoke"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for Playwright's executable_path; without one a test is skipped, but fails in CI."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    message = f"no Chromium found (looked for {', '.join(BROWSERS)})"
    if os.environ.get("CI"):
        pytest.fail(message + ": in CI the browser tests must run", pytrace=False)
    pytest.skip(message + ": install one to run the browser tests")
