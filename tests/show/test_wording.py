"""Times, rates, losses and metrics, in words."""

import pytest

from relvit_lab.common import words
from relvit_lab.show import wording
from relvit_lab.train.events import EpochDone

UNITS = {"accuracy": "%", "best_accuracy": "%", "sprel": "%", "abspos": "%", "dist": "MSE x 100"}


def epoch(k, epochs):
    train = {"loss": 3.0 / k, "sprel": 1.0 / k, "abspos": 2.0 / k}
    test = {"loss": 2.5, "sprel": 20.0 * k, "abspos": 4.0 * k}
    return EpochDone(k, epochs, {"train": train, "test": test, "timing": {"images_per_second": 1234.4}})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "?"), (float("inf"), "?"), (float("nan"), "?"), (-1, "0.0 s"), (0.42, "0.4 s"), (9.94, "9.9 s"),
        (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (130.2, "2 min 10 s"), (3599.4, "59 min 59 s"),
        (3599.6, "1 h"), (3 * 3600 + 5 * 60 + 10, "3 h 5 min"), (86399, "1.0 days"), (3.4 * 86400, "3.4 days"),
    ],
)  # fmt: skip
def test_times(seconds, said):
    assert words.human_time(seconds) == said


def test_rates_and_counts():
    assert [words.human_rate(r) for r in (None, 0.33, 9.97, 1234.4, 35e3)] == [
        "? img/s", "0.3 img/s", "10 img/s", "1,234 img/s", "35,000 img/s",
    ]  # fmt: skip
    assert [words.human_count(n) for n in (912, 461_234, 999_499, 999_500, 21_342_346)] == [
        "912", "461 k", "999 k", "1.0 M", "21.3 M",
    ]  # fmt: skip


def test_metrics():
    assert wording.format_metric("accuracy", 45.349, UNITS) == "accuracy 45.3 %"
    assert wording.format_metric("accuracy", 9.0, UNITS, width=4) == "accuracy  9.0 %"
    assert wording.format_metric("dist", 10.31, UNITS) == "dist 10.3 (MSE x 100)"
    assert wording.format_metric("mine", 0.5, UNITS) == "mine 0.5"
    assert wording.format_metric("sprel", None, UNITS) == "sprel -"


def test_losses_name_their_parts_only_where_there_are_several():
    parts = {"loss": 1.234, "classification": 1.104, "sprel": 0.13, "accuracy": 30.0}
    assert wording.format_loss(parts) == "loss 1.234 (classification 1.104, sprel 0.130)"
    assert wording.format_loss({"loss": 1.1, "classification": 1.1, "accuracy": 30.0}) == "loss 1.100"
    assert wording.format_loss({"loss": float("nan")}) == "loss nan"


def test_an_epochs_line():
    line = wording.epoch_line(epoch(3, epochs=30), UNITS, left=80.2)
    assert line == (
        "epoch  3/30  loss 1.000 (sprel 0.333, abspos 0.667)  sprel 60.0 %  abspos 12.0 %  |  "
        "1,234 img/s  ETA 1 min 20 s"
    )
    assert wording.epoch_line(epoch(30, epochs=30), UNITS, left=0.0).endswith("|  1,234 img/s")  # nothing is left


def test_units_and_titles_come_from_the_registry_of_tasks():
    assert wording.known_units()["sprel"] == "%" and "MSE" in wording.known_units()["dist"]
    assert [wording.title(name) for name in ("sprel", "accuracy", "mine")] == ["SpRel", "Accuracy", "mine"]
