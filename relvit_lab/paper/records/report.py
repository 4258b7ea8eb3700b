"""results/README.md from results/README.template.md and the records: every number in it is computed here.

{{sprel pe_on}}                   a task's metric after the stage that trained it: mean ± sample sd over the seeds, in %
{{gap finetuned twice}}           difference of accuracies, seed by seed: mean ± sample standard deviation
{{wins finetuned twice}}          in how many of the seeds the first is ahead
{{table main}}                    a table
{{shared epochs}}                 a field that all records but those of LONG and FULL_SIZE share
{{full epochs}}                   a field that all records of FULL_SIZE share
{{long epochs}} {{chance sprel}} {{count records}} {{count_seeds pe_off}} {{points}} {{hours}}
{{whole answer}}                  a part of whole_report.py
{{seeds}} {{grid}} {{chances}} {{kept released}} {{missing}} {{commands}} {{made}}
"""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.paths import resolve
from relvit_lab.method.tasks import TASKS
from relvit_lab.paper.records import small_study as small
from relvit_lab.paper.records.results import WHAT, Results, markdown, number, plus_minus
from relvit_lab.paper.records.store import read_records
from relvit_lab.paper.records.whole_report import PARTS, WholeReport
from relvit_lab.train.evaluate import chance

TABLES = {
    "main": tuple(small.MAIN),
    "shortcut": ("pe_off", "pe_off_shuffled", "pe_on", "pe_on_shuffled", "supervised", "twice"),
    "mega": ("finetuned", *(f"mega_{m}" for m in small.MEGA)),
    "recipe": ("finetuned", "released"),
    "long": ("long_twice", "long_finetuned"),
}
ROW = ("trained", "epochs", "accuracy by seed, %", "mean ± sd", "SpRel, %", "AbsPos, %")  # what a row of them holds
ANSWER = re.compile(r"(<!-- answer: .*? -->\n).*?\n(<!-- end of answer -->)", re.DOTALL)  # in the README
RENAMED = {("mega", "finetuned"): "no mega-patches", ("recipe", "finetuned"): "recipe paper"}


class Report(Results):
    """What the template of results/README.md asks for, from the records of the study at laptop scale."""

    def render(self, template: str) -> str:
        """The template with every {{...}} replaced. Raises RelvitError for one that is unknown, or has no record."""
        return re.sub(r"\{\{(.+?)\}\}", lambda found: self.value(*found[1].split()), template)

    def value(self, verb: str, *words: str) -> str:
        verbs: dict[str, Callable[..., str]] = {
            "sprel": lambda name: plus_minus(self.of(name, "sprel")),
            "abspos": lambda name: plus_minus(self.of(name, "abspos")),
            "gap": lambda a, b: plus_minus(self.gaps(a, b), sign=True),
            "wins": lambda a, b: str(sum(gap > 0 for gap in self.gaps(a, b))),
            "table": self.table,
            "shared": self.shared,
            "full": lambda field: number(self.shared_by([self.find(n)[0] for n in small.FULL_SIZE], field)),
            "long": lambda field: number(self.shared_by(small.find(self.records, "long_finetuned"), field)),
            "chance": self.chance,
            "count": lambda _: str(len(self.used())),
            "hours": lambda: f"{sum(record['cost']['seconds'] for record in self.used()) / 3600:.1f}",
            "chances": self.chances,
            "grid": lambda: "{0} x {0}".format(self.side()),
            "kept": lambda name: ", ".join(str(record["stage"]["kept_epoch"]) for record in self.find(name, "first")),
            "missing": self.missing,
            "count_seeds": lambda name: str(len(self.find(name))),
            "points": lambda: number(int(self.shared_by(self.find("finetuned"), "test_images")) // 100),
            "seeds": lambda: ", ".join(map(str, small.SEEDS)),
            "commands": lambda: "\n".join(small.commands()),
            "made": self.made,
            "whole": self.whole,
        }
        if verb not in verbs:
            raise RelvitError(f"unknown '{verb}' in the template: {nearest(verb, verbs)}")
        return verbs[verb](*words)

    def whole(self, what: str) -> str:
        """A part of the page that is about the whole of CIFAR-10: answer, rows, differences, ..."""
        if what not in PARTS:
            raise RelvitError(f"unknown part 'whole {what}' in the template: {nearest(what, PARTS)}")
        return getattr(WholeReport(self.records), what)()

    def missing(self) -> str:
        """The planned runs that are not on record."""
        gaps = self.study.missing(self.records)
        return ", ".join(f"`{name}` (seed {' and '.join(map(str, seeds))})" for name, seeds in gaps.items()) or "none"

    def shared(self, field: str) -> str:
        names = [name for name in small.SETTINGS if name not in small.LONG]
        return number(self.shared_by([r for name in names for r in self.find(name)], field))

    def chance(self, task: str) -> str:
        return f"{chance(TASKS.get(task), self.side()):.1f}"

    def chances(self) -> str:
        """What one constant answer to SpRel has right, by M and on the standard grid."""
        values = [f"{chance(TASKS.get('sprel'), m):.1f} % (M = {m})" for m in small.MEGA]
        return f"{', '.join(values)} and {self.chance('sprel')} % (no mega-patches)"

    def made(self) -> str:
        """What the records were made with."""
        ways = {
            f"commit {e['commit']}, Python {e['python']}, torch {e['torch']}, timm {e['timm']}, {e['platform']}, "
            f"{e['device']}, {e['precision']}"
            for e in (record["environment"] for record in self.used())
        }
        return "; ".join(sorted(ways))

    # -- tables ------------------------------------------------------------------------------------------------------

    def table(self, name: str) -> str:
        others = {"labels": self.labels, "backbones": self.backbones}
        if name in others:
            return others[name]()
        if name not in TABLES:
            raise RelvitError(f"unknown table '{name}': {nearest(name, (*TABLES, *others))}")
        return markdown(ROW, [self.row(name, setting) for setting in TABLES[name]])

    def row(self, table: str, name: str) -> list[str]:
        first, last = self.find(name, "first"), self.find(name)
        epochs = self.shared_by(last, "epochs")
        accuracies = self.of(name, "accuracy")
        tasks = [self.task_metric(first, task) for task in ("sprel", "abspos")]
        budget = f"{epochs}" if first == last else f"{epochs} + {epochs}"
        what = RENAMED.get((table, name), WHAT[name])
        return [what, budget, ", ".join(f"{a:.1f}" for a in accuracies), plus_minus(accuracies), *tasks]

    def labels(self) -> str:
        rows = []
        for share in (*small.LABELS, 100):
            one, other = (name if share == 100 else f"{name}_{share}" for name in ("supervised", "finetuned"))
            counts = {record["counts"]["train_images"] for record in self.find(one)}
            images = " to ".join(number(count) for count in sorted({min(counts), max(counts)}))
            rows.append(
                [f"{share} %", images, plus_minus(self.of(one, "accuracy")), plus_minus(self.of(other, "accuracy")),
                 plus_minus(self.gaps(other, one), sign=True)]
            )  # fmt: skip
        headers = ["labels", "labelled images", "supervised", "pre-trained on all images, fine-tuned", "difference"]
        return markdown(headers, rows)

    def backbones(self) -> str:
        rows = []
        for name in small.FULL_SIZE:
            (record,) = self.find(name)
            metrics, cost = record["metrics"], record["cost"]
            trained = ", ".join(record["fields"].get("tasks", ())) or "nothing else"
            tasks = [f"{metrics[task]:.2f}" if task in metrics else "-" for task in ("sprel", "abspos", "drloc")]
            spent = [f"{cost['seconds'] / 60:.1f}", f"{cost['images_per_second']:.1f}"]
            size = f"{record['counts']['parameters']:,}"
            rows.append([record["experiment"]["backbone"], trained, size, f"{metrics['accuracy']:.1f}", *tasks, *spent])
        headers = ["backbone", "trained on the classes and", "parameters", "accuracy, %", "SpRel, %", "AbsPos, %",
                   "DRLoc, patches", "minutes", "img/s in training"]  # fmt: skip
        return markdown(headers, rows)


def write_readme(folder: str | Path = "results") -> Path:
    """results/README.md, anew, and the answer in the README beside the folder. Returns its path. Raises RelvitError."""
    folder = resolve(folder)
    template, path = folder / "README.template.md", folder / "README.md"
    records = read_records(folder)
    if not template.is_file() or not records:
        raise RelvitError(
            f"the page is made from README.template.md and the records (*.json) in {folder}, which are not there: "
            "start it in a checkout of the project, or name one with RELVIT_HOME"
        )
    report = Report(records)
    sets: dict[str, set[str]] = {}
    for record in report.used():
        sets.setdefault(record["data"]["name"], set()).add(record["data"]["digest"])
    for name, digests in sets.items():
        if len(digests) > 1:
            raise RelvitError(f"the records of {name} are of {len(digests)} different sets of images: keep one set's")
    path.write_text(report.render(template.read_text(encoding="utf-8")), encoding="utf-8")
    front = folder.parent / "README.md"
    if front.is_file():
        answer = textwrap.fill(report.value("whole", "answer"), 120, break_on_hyphens=False)
        text = front.read_text(encoding="utf-8")
        front.write_text(ANSWER.sub(lambda found: f"{found[1]}{answer}\n{found[2]}", text), encoding="utf-8")
    return path
