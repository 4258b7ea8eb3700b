"""The how-tos in docs/, followed word for word: each block is saved or run as it says, and says what it should."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
HOW_TOS = ("add_a_task", "add_a_backbone", "add_a_data_set")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str]]:
    return BLOCK.findall(text)


def words(text: str) -> str:
    """Whatever the breadth of columns."""
    return " ".join(text.split())


def follow(text: str, folder: Path) -> None:
    """What a newcomer does. Raises AssertionError with the block that failed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    said = ""
    for kind, code in blocks(text):
        name = re.match(r"# ([\w.]+\.py)\n", code)
        if kind == "text":
            place = 0
            for line in filter(None, map(words, code.splitlines())):
                found = words(said).find(line, place)
                assert found >= 0, f"'{line}' is not (or not in that order) in what was said:\n{said}"
                place = found
            continue
        assert kind in ("python", "bash"), kind
        if name:
            (folder / name[1]).write_text(code)
            continue
        command = [sys.executable, "-c", code] if kind == "python" else ["bash", "-euo", "pipefail", "-c", code]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{code}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        said = done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", HOW_TOS)
def test_a_how_to_followed_literally_works(name, tmp_path):
    """In a project folder of its own, which has the notebooks and nothing else."""
    (tmp_path / "notebooks").symlink_to(DOCS.parent / "notebooks")
    follow((DOCS / f"{name}.md").read_text(), tmp_path)


def test_following_notices_what_does_not_work(tmp_path):
    save, run = "```python\n# a.py\nx = 3\n```\n", "```bash\npython -c 'import a; print(a.x,    1)'\n```\n"
    follow(f"{save}\n{run}\n```text\n3 1\n```\n", tmp_path)
    assert (tmp_path / "a.py").is_file()
    for text, said in (
        ("```bash\nfalse\ntrue\n```\n", "false"),
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
        ("```bash\necho one; echo two\n```\n\n```text\ntwo\none\n```\n", "'one' is not"),
        ("```bash\necho 3.14\n```\n\n```text\n3.15\n```\n", "'3.15' is not"),
        ("```ruby\n1\n```\n", "ruby"),
    ):
        with pytest.raises(AssertionError, match=said):
            follow(text, tmp_path)


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target


@pytest.mark.parametrize("name", HOW_TOS)
def test_lines_are_as_long_as_elsewhere(name):
    code = "\n".join(code for kind, code in blocks((DOCS / f"{name}.md").read_text()) if kind == "python")
    assert max(map(len, code.splitlines())) <= 120
