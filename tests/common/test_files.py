"""Files that are whole or not there, and locks."""

import os
import threading

import pytest

from relvit_lab.common.files import locked, write_whole

NEW = "new é"


@pytest.mark.parametrize("content", [NEW, NEW.encode(), lambda path: path.write_bytes(NEW.encode())])
def test_a_file_is_written(tmp_path, content):
    write_whole(tmp_path / "a.json", content)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == NEW
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, error, monkeypatch):
    def half(path):
        path.write_text("ha")
        raise error

    (tmp_path / "a").write_text("old")
    with pytest.raises(type(error)):
        write_whole(tmp_path / "a", half)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_a_lock_is_held_by_one_at_a_time_and_let_go_on_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock") as first, locked(tmp_path / "lock", 0) as second:
        assert first and not second
        raise ZeroDivisionError
    with locked(tmp_path / "lock", 0) as again:
        assert again


def test_who_waits_says_so_once_and_then_holds_it(tmp_path):
    said, taken, let_go = [], threading.Event(), threading.Event()

    def hold():
        with locked(tmp_path / "lock"):
            taken.set()
            let_go.wait()

    def waiting():
        said.append("waits")
        let_go.set()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    with locked(tmp_path / "lock", waiting=waiting) as held:
        assert held and said == ["waits"]
    holder.join()
