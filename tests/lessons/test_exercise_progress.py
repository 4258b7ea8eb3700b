"""What students have tried: kept over restarts, counted fairly, never in the way of a check, shown and exported."""

import json
import os
import subprocess
import sys
import threading

import nbformat
import pytest

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons import ask as exercises
from relvit_lab.lessons.ask import EXERCISES, PREDICTIONS, answer_or_reference, check, journal, predict
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.lessons.ask.progress_view import Progress, State, choices, states
from relvit_lab.publish.classroom import copies

ask.load_all()
NAME = "03-parameters"
WITH_EXERCISES = [path for path in copies.choose(()) if any(name[:2] == path.stem[:2] for name in EXERCISES.names())]


def wrong(dim, outputs, rank=None):
    return dim * dim


def also_wrong(dim, outputs, rank=None):
    return 1


def right(dim, outputs, rank=None):
    return outputs * dim * dim if rank is None else 2 * outputs * dim * rank


def state(name=NAME) -> State:
    return exercises.progress().states.get(name, State())


def test_an_untouched_notebook_leaves_no_trace(tmp_path):
    for name in EXERCISES.names():
        check(name, ...)
        answer_or_reference(name, ...)
    predict("03-zero", ["0", PREDICTIONS["03-zero"].answer])
    assert not (tmp_path / "progress").exists()
    assert exercises.progress().states == {} == exercises.progress().choices


def test_tries_are_counted_until_it_is_right_and_the_same_answer_once():
    check(NAME, wrong)
    assert state() == State("mistake", 1, check(NAME, wrong).text)
    check(NAME, wrong)  # Run All again
    assert state().tries == 1
    check(NAME, also_wrong)
    check(NAME, right)
    assert state().status == "right" and state().tries == 3
    check(NAME, wrong)  # somebody plays on
    check(NAME, right)
    assert state().status == "right" and state().tries == 3
    assert str(state()) == "right, tried 3 times"


def test_going_on_with_the_reference_is_no_try():
    answer_or_reference(NAME, wrong)
    answer_or_reference(NAME, right)
    assert state() == State()


def test_the_first_prediction_counts():
    answer = PREDICTIONS["03-zero"].answer
    predict("03-zero", ["0", answer]).chosen = "0"
    predict("03-zero", ["0", answer]).chosen = answer  # the cell was run again, the answer is known now
    predict("03-symmetric", [PREDICTIONS["03-symmetric"].answer]).chosen = PREDICTIONS["03-symmetric"].answer
    shown = exercises.progress(3)
    assert shown.choices == {"03-zero": False, "03-symmetric": True}
    there = sum(name.startswith("03") for name in PREDICTIONS.names())
    assert shown.predictions("03") == (there, 2, 1)


def test_another_process_goes_on_where_this_one_was(tmp_path):
    """A kernel's restart."""
    check(NAME, wrong)
    code = f"from relvit_lab.lessons.ask import check; check({NAME!r}, lambda d, k, r=None: 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=120)
    assert state().tries == 2


def test_the_place_is_the_project_root_or_the_variable(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    check(NAME, wrong)
    assert (tmp_path / "progress" / "progress.jsonl").is_file()
    monkeypatch.setenv(journal.VARIABLE, str(tmp_path / "mine" / "own.jsonl"))
    assert state() == State()
    check(NAME, wrong)
    assert (tmp_path / "mine" / "own.jsonl").is_file() and state().tries == 1
    monkeypatch.setenv(journal.VARIABLE, "off")
    check(NAME, also_wrong)
    assert state() == State() and not list((tmp_path / "elsewhere").iterdir())


def test_nothing_personal_is_kept(tmp_path):
    check(NAME, wrong)
    (line,) = (tmp_path / "progress" / "progress.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == {"time", "exercise", "status", "text", "answer"}
    assert os.path.basename(os.path.expanduser("~")) not in line or os.path.expanduser("~") == "/"


@pytest.mark.parametrize("how", ["a folder in its place", "a file above it", "full", "locks fail"])
def test_a_check_goes_on_where_nothing_can_be_kept_and_it_is_said_once(how, tmp_path, monkeypatch, capsys):
    journal._complained.clear()
    if how == "a folder in its place":
        (tmp_path / "progress" / "progress.jsonl").mkdir(parents=True)
    elif how == "a file above it":
        (tmp_path / "progress").write_text("")
    elif how == "full":
        if not os.path.exists("/dev/full"):
            pytest.skip("no /dev/full")
        (tmp_path / "progress").mkdir()
        (tmp_path / "progress" / "progress.jsonl").symlink_to("/dev/full")
    else:
        monkeypatch.setattr("filelock.FileLock.acquire", lambda *_, **__: (_ for _ in ()).throw(OSError("no locks")))
    assert check(NAME, wrong).status == "mistake" and check(NAME, right).status == "right"
    said = capsys.readouterr().err
    assert said.count("not kept") == 1 and journal.VARIABLE in said
    assert len(exercises.progress().exercises("03")) == 5 and state() == State()


def test_a_lock_that_is_held_delays_and_no_more(tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr(journal, "PATIENCE", 0.05)
    (tmp_path / "progress").mkdir()
    with FileLock(tmp_path / "progress" / "progress.jsonl.lock"):
        thread = threading.Thread(target=check, args=(NAME, wrong))
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    assert state().tries == 1


def test_many_at_once_lose_no_line(tmp_path):
    def many(k):
        for n in range(25):
            journal.add(prediction=f"{k}-{n}", chosen="é" * 50, right=True)

    threads = [threading.Thread(target=many, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(choices(journal.read())) == 100
    assert len((tmp_path / "progress" / "progress.jsonl").read_text().splitlines()) == 100


def test_a_line_cut_short_costs_itself_only(tmp_path):
    check(NAME, wrong)
    path = tmp_path / "progress" / "progress.jsonl"
    path.write_bytes(path.read_bytes() + b'{"time": "2026-01-01", "exerc\xff')
    check(NAME, also_wrong)
    junk = b'null\n[1]\n{"exercise": 3, "status": "right"}\n{"exercise": "a", "status": 1}\n'
    path.write_bytes(path.read_bytes() + junk)
    assert len(journal.read()) == 2 and state().tries == 2


def test_answers_without_source_or_repr_are_told_apart_where_they_can_be():
    class Odd:
        def __repr__(self):
            raise ValueError

    def made(text):
        space = {}
        exec(text, space)
        return space["f"]

    one, other = made("def f(x): return x + 1"), made("def f(x): return x * 1")
    assert journal.fingerprint(one) != journal.fingerprint(other)
    assert journal.fingerprint(Odd()) and journal.fingerprint(one) == journal.fingerprint(one)


def test_it_shows_each_exercise_with_all_that_is_asked():
    check(NAME, wrong)
    check("03-above", EXERCISES["03-above"].reference)
    shown = exercises.progress("03")
    text, page = repr(shown), shown._repr_html_()
    for exercise in (each for each in EXERCISES if each.name.startswith("03")):
        assert exercise.title in text and f"{exercise.minutes} min" in text
    assert "★☆☆" in text and "tried once" in text and "K is missing" in text and "right, tried once" in text
    assert f"1 of {len(shown.exercises('03'))} exercises right" in text
    assert page.count("<tr>") == 2 + len(shown.exercises("03")) and "K is missing" in page
    assert "Notebook 01" not in text and "Notebook 01" in repr(exercises.progress())
    for unknown, said in ((77, "no notebook 77 has"), ("shuffle", "no notebook 'shuffle' has")):
        with pytest.raises(RelvitError, match=said):
            exercises.progress(unknown)


def test_where_nothing_was_tried_it_takes_a_line():
    untouched = exercises.progress("03")
    minutes = sum(exercise.minutes for exercise, _ in untouched.exercises("03"))
    asked = untouched.predictions("03")[0]
    said = f"othing tried yet of 5 exercises (about {minutes} minutes) and {asked} predictions"
    assert repr(untouched) == f"N{said}" and untouched._repr_html_() == f"<p>N{said}</p>"
    assert "\n" not in repr(exercises.progress())
    check(NAME, wrong)
    shown = exercises.progress(1, 3)
    assert "Notebook 01: nothing tried yet of" in repr(shown) and "1 of 4" not in repr(shown)
    assert shown._repr_html_().count("<tr>") == 3 + len(shown.exercises("03"))
    predict("03-zero", [PREDICTIONS["03-zero"].answer, "0"]).chosen = "0"
    assert exercises.progress("03").touched("03") and not exercises.progress("01").touched("01")


def test_what_a_notebook_does_not_have_is_not_counted_and_one_is_one():
    (name,) = (name for name in PREDICTIONS.names() if name.startswith("04"))
    assert repr(exercises.progress(4)) == "Nothing tried yet of 1 prediction"
    predict(name, [PREDICTIONS[name].answer]).chosen = PREDICTIONS[name].answer
    first, *_ = repr(exercises.progress(4)).splitlines()
    assert first == "1 of 1 prediction made, 1 of them right"


@pytest.mark.parametrize("path", WITH_EXERCISES, ids=lambda path: path.stem)
def test_a_notebook_ends_with_its_progress(path):
    *_, cell, _ = nbformat.read(path, 4).cells
    assert cell.id == "progress" and f'progress("{path.stem[:2]}")' in cell.source


def test_what_others_wrote_into_the_file_is_shown_as_text():
    lines = [{"exercise": NAME, "status": "mistake", "text": "<script>alert(1)</script>", "answer": ""}]
    assert "<script>" not in Progress(lines)._repr_html_()


def test_the_export_holds_it_all_and_a_name_if_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(NAME, wrong)
    check(NAME, right)
    path = exercises.progress().export("me.json")
    whole = json.loads(path.read_text())
    assert path == tmp_path / "me.json" and whole["name"] == "" and states(whole["lines"])[NAME].tries == 2
    assert json.loads(exercises.progress().export("me.json", name="Ada").read_text())["name"] == "Ada"
    with pytest.raises(RelvitError, match="cannot be written"):
        exercises.progress().export("nowhere/me.json")
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
