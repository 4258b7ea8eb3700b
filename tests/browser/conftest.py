"""What the modules share that open cells of their own in JupyterLab."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from browser import lab


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A JupyterLab for lab.with_cells: (its folder, its address). Its one notebook keeps its kernel from module to
    module, for importing torch takes longer than most tests."""
    folder = tmp_path_factory.mktemp("jupyter") / "notebooks"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELVIT_HOME", str(folder.parent / "home"))
        with lab.server(folder) as address:
            yield folder, address
