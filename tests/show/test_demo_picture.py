"""What `make demo` leaves to look at."""

from PIL import Image

from relvit_lab.show.run_pictures import demo_picture, write_demo_picture


def test_curves_and_answers_of_finished_runs(smoke):
    scenarios = ("downstream_only", "supervised")
    joint, supervised = (smoke.finished(preset="smoke", scenario=name)[-1].folder for name in scenarios)
    folders = {"supervised": supervised, "joint": joint}
    drawing = demo_picture(folders)
    curves, *answers = drawing.axes
    assert [line.get_label() for line in curves.lines] == ["supervised", "joint"] and len(answers) == 8
    wrong = sum(", is " in panel.get_title() for panel in answers)
    assert f"Of 8 test images the last model names {8 - wrong} rightly." in drawing.alt
    file = write_demo_picture(folders)
    assert file == joint.parent / "demo.png" and Image.open(file).width > 600
