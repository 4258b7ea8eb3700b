"""Tables of what came out, on results made by hand."""

from relvit_lab.common.table import compare
from relvit_lab.show.summary import summary
from relvit_lab.train.events import StageFinished

UNITS = {"accuracy": "%", "best_accuracy": "%", "sprel": "%", "abspos": "%", "dist": "MSE x 100"}


def finished(name="pretrain", accuracy=None, **experiment):
    metrics = {"accuracy": None, "best_accuracy": None, "best_epoch": None, "loss": 2.5, "sprel": 40.0, "abspos": 8.0}
    if accuracy is not None:
        metrics = {"accuracy": accuracy, "best_accuracy": accuracy + 1, "best_epoch": 1, "loss": 1.0}
    fields = {
        "scenario": "pretrain_finetune",
        "backbone": "vit_nano",
        "dataset": "digits",
        "tasks": ["sprel", "abspos"],
    }
    result = {
        "experiment": fields | experiment, "stage": {"name": name}, "metrics": metrics, "units": UNITS,
        "timing": {"seconds": 130.2, "images_per_second": 1234.4},
    }  # fmt: skip
    return StageFinished(name, "a1", f"/runs/{name}", result)


def test_the_summary_says_once_what_all_stages_share():
    table = summary([finished(), finished("finetune", accuracy=69.8)])
    assert str(table).splitlines() == [
        "scenario pretrain_finetune; backbone vit_nano; data set digits; tasks sprel, abspos",
        "Stage     Accuracy (%)  best (epoch)  SpRel (%)  AbsPos (%)        Time  img/s  Folder",
        "--------  ------------  ------------  ---------  ----------  ----------  -----  --------------",
        "pretrain             -             -       40.0         8.0  2 min 10 s  1,234  /runs/pretrain",
        "finetune          69.8      70.8 (1)          -           -  2 min 10 s  1,234  /runs/finetune",
    ]
    assert repr(table) == str(table)


def test_the_summary_has_columns_for_what_differs():
    table = summary(
        [finished("supervised", accuracy=45.3, scenario="supervised"), finished("joint", accuracy=50.0)]
    )
    assert table.caption == ("backbone vit_nano; data set digits",)
    assert table.headers[:3] == ("Stage", "Scenario", "Tasks")
    assert [row[:3] for row in table.rows] == [
        ("supervised", "supervised", "-"),  # its fields name tasks, but it has none
        ("joint", "pretrain_finetune", "sprel, abspos"),
    ]


def test_a_summary_of_nothing_is_a_table():
    assert str(summary([])).splitlines()[0].startswith("Stage")


def test_compare_takes_keys_and_functions():
    rows = [{"id": "a", "metrics": {"accuracy": 9.25}, "n": 3}, {"id": "b<c", "metrics": {}, "n": 12}]
    columns = [("Run", "id"), ("Accuracy", "metrics.accuracy"), ("double", lambda row: 2 * row["n"]), ("gone", "x.y")]
    table = compare(rows, columns, ("/runs",))
    assert str(table).splitlines() == [
        "/runs",
        "Run  Accuracy  double  gone",
        "---  --------  ------  ----",
        "a         9.2       6  -",
        "b<c         -      24  -",
    ]
    page = table._repr_html_()
    assert page.count("<tr>") == 3 and "b&lt;c" in page and "b<c" not in page
    assert compare([finished()], [("Stage", "stage.name")]).rows == (("pretrain",),)  # a record's result
