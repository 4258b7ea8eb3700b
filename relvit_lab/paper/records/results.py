"""The numbers of a study's records, by the names of its settings, and how they are written."""

from collections.abc import Mapping, Sequence

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.stats import mean_sd
from relvit_lab.paper.plan.cells import FIGURE_4
from relvit_lab.paper.records import small_study as small
from relvit_lab.paper.records import whole_study as whole
from relvit_lab.paper.records.store import Record
from relvit_lab.paper.records.study import Study

WHAT = {
    "supervised": "supervised, one stage",
    "twice": "supervised, two stages",
    "finetuned": "pre-trained (SpRel + AbsPos), fine-tuned",
    "joint": "downstream-only (joint SpRel + AbsPos)",
    "control": "supervised on patch-augmented images (joint with task weights 0)",
    **{name: curve.row for name, curve in FIGURE_4.items()},
    "released": "recipe released",
    "four_tasks": "all four tasks, PE off",
    "four_tasks_pe": "all four tasks, PE on, no shuffle",
    "few_supervised": f"supervised, {whole.SHARE} % of the labels",
    "few_supervised_long": f"supervised, {whole.SHARE} % of the labels, longer",
    "few_finetuned": f"pre-trained, fine-tuned on {whole.SHARE} % of the labels",
    "long_twice": "supervised, two stages",
    "long_finetuned": "pre-trained, fine-tuned",
    **{f"mega_{m}": f"M = {m}" for m in small.MEGA},
}


class Results:
    """The records of a study, found by name."""

    def __init__(self, records: Mapping[str, Record], study: Study = small.STUDY):
        self.records, self.study = records, study

    def find(self, name: str, stage: str = "last") -> list[Record]:
        return self.study.find(self.records, name, stage)

    def there(self, name: str, stage: str = "last") -> list[Record]:
        """`find`, and an empty list where nothing is on record."""
        try:
            return self.find(name, stage)
        except RelvitError:
            return []

    def used(self) -> list[Record]:
        """All records of the study, each once."""
        names = [(name, stage) for name in self.study.settings for stage in ("first", "last")]
        return list({record["id"]: record for place in names for record in self.there(*place)}.values())

    def both(self, one: str, other: str) -> bool:
        """Whether two settings have a seed in common."""
        return bool(self.there(one) and self.there(other) and self.gaps(one, other))

    def curves(self, name: str, stage: str, metric: str) -> list[list[float]]:
        """A metric on the test images by epoch, a list for each seed."""
        return [record["curves"]["test"][metric] for record in self.find(name, stage)]

    def of(self, name: str, metric: str) -> list[float]:
        """A metric by seed: accuracies after the last stage, a task's metric after the stage that trained it."""
        stage = "last" if metric == "accuracy" else "first"
        return [record["metrics"][metric] for record in self.find(name, stage)]

    def gaps(self, one: str, other: str) -> list[float]:
        """Differences of accuracies, for the seeds that both have."""
        first, second = (
            {record["experiment"]["seed"]: record["metrics"]["accuracy"] for record in self.find(name)}
            for name in (one, other)
        )
        return [first[seed] - second[seed] for seed in first if seed in second]

    def shared_by(self, records: Sequence[Record], field: str) -> object:
        values = {str(r["experiment"][field]): r["experiment"][field] for r in records}
        if len(values) != 1:
            raise RelvitError(f"{field} is not the same in all records: {', '.join(values)}")
        return next(iter(values.values()))

    def side(self) -> int:
        """Patches a side, without mega-patches."""
        experiment = self.find("finetuned")[0]["experiment"]
        return experiment["image_size"] // experiment["patch_size"]

    @staticmethod
    def task_metric(records: Sequence[Record], task: str) -> str:
        """ "-" where the task was not trained."""
        weights = [dict(zip(r["fields"].get("tasks", ()), r["fields"].get("task_weights", ()))) for r in records]
        return plus_minus([r["metrics"][task] for r in records]) if all(w.get(task) for w in weights) else "-"


def plus_minus(values: Sequence[float], sign: bool = False) -> str:
    """ "41.3 ± 0.9", a single value without spread; with `sign` "+1.2 ± 0.4"."""
    mean, sd = mean_sd(values)
    text = f"{mean:+z.1f}" if sign else f"{mean:z.1f}"  # z: no -0.0
    return text if sd is None else f"{text} ± {sd:.1f}"


def number(value: object) -> str:
    """With commas between thousands."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table; all columns but the first ones to the right."""
    lines = [headers, ["---"] * left + ["---:"] * (len(headers) - left), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
