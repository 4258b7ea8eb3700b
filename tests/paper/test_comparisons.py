"""Sentences from records: the verdict is the interval's, and what has no record is left out."""

import pytest

from relvit_lab.paper.records import comparisons
from relvit_lab.paper.records import small_study as small
from relvit_lab.paper.records.results import Results


def record(name, seed, stage, accuracy, sprel=None):
    made = small.experiment(name, seed).stages()[0 if stage == "first" else -1]
    metrics = {"accuracy": accuracy, "sprel": sprel}
    return made.id, {
        "id": made.id, "fields": made.fields, "experiment": made.experiment.as_dict(), "metrics": metrics,
        "stage": {"name": made.name, "parent": made.parent.id if made.parent else None},
        "curves": {"test": {"accuracy": [accuracy], "sprel": [sprel]}},
    }  # fmt: skip


def report(**accuracies):
    """Records of settings by their accuracies, seed by seed; SpRel is 100 for pe_on and 30 elsewhere."""
    records = {}
    for name, values in accuracies.items():
        sprel = 100.0 if name == "pe_on" else 30.0
        for seed, value in enumerate(values):
            if len(small.experiment(name, seed).stages()) > 1:
                records |= [record(name, seed, "first", None, sprel)]
            records |= [record(name, seed, "last", value, sprel)]
    return Results(records)


@pytest.mark.parametrize(
    "ours, points, verdict",
    [
        ([48.0, 49.0, 50.0], "+8.0 ± 0.0", "told apart"),
        ([40.0, 42.0, 41.0], "+0.0 ± 1.0", "not told apart"),
        ([48.0], "+8.0", "one seed: cannot be judged"),
    ],
)
def test_differences_and_their_verdicts(ours, points, verdict):
    both = report(pe_on=ours, supervised=[40.0, 41.0, 42.0])
    table = comparisons.differences(both, [("pe_on", "supervised"), ("pe_off", "supervised")])
    assert table.rows == (("PE on, no shuffle", "supervised, one stage", points, str(len(ours)), verdict),)


def test_what_has_no_records_is_left_out():
    ours = report(pe_on=[48.0, 49.0], pe_off=[50.0], supervised=[40.0])
    assert comparisons.available(ours, comparisons.FOUR) == ["pe_off", "pe_on"]
    assert list(comparisons.shortcut_series(ours)) == ["no PE", "PE"]
    assert comparisons.shortcut_series(ours)["PE"] == {"sprel": [[100.0]] * 2, "accuracy": [[48.0], [49.0]]}


def test_against_the_paper_claim_by_claim():
    ours = report(
        pe_on=[48.0, 49.0, 50.0], pe_on_shuffled=[48.5, 48.5, 50.0], pe_off=[51.0, 52.1, 53.0],
        supervised=[40.0, 41.0, 42.5],
    )  # fmt: skip
    verdicts = [row[-1] for row in comparisons.against_the_paper(ours).rows]
    assert verdicts == ["as in the paper", "differs", "not told apart", "as in the paper", "as in the paper"]
    close = report(pe_on=[41.0, 40.5, 42.0], supervised=[40.0, 41.0, 42.5])
    assert [row[-1] for row in comparisons.against_the_paper(close).rows] == [
        "as in the paper",
        "not told apart: as in the paper",
    ]
    assert comparisons.against_the_paper(report(supervised=[40.0])).rows == ()


@pytest.mark.parametrize("sprel, says", [(99.8, "as in the paper"), (94.3, "close, not reached"), (40.0, "differs")])
def test_what_sprel_reached_is_judged(sprel, says):
    ours = report(pe_on=[48.0], supervised=[40.0])
    ours.find("pe_on", "first")[0]["metrics"]["sprel"] = sprel
    assert comparisons.against_the_paper(ours).rows[0][1:] == (f"{sprel} %", says)


def test_claims_without_a_baseline_or_a_common_seed():
    alone = report(pe_on=[48.0, 49.0])
    assert [row[0] for row in comparisons.against_the_paper(alone).rows] == ["PE on, no shuffle: 100 % SpRel"]
    apart = report(pe_on=[48.0], pe_off=[50.0, 51.0])
    for stage in small.experiment("pe_off", 0).stages():
        del apart.records[stage.id]
    assert comparisons.against_the_paper(apart).rows[-1][1:] == ("-", "no seed in common")
