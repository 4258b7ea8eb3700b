"""What bf16 and compiling do to accuracy: CIFAR-10 at laptop scale, pre-trained and fine-tuned, in bf16 and compiled,
beside float32 as it stands.

    python benchmarks/bf16_accuracy.py --data-dir DIR [--seeds 0,1,2] [--check]

The runs in float32 are those on record (results/); those in bf16 are trained here, two minutes each on two cores that
multiply bf16, and kept in runs/bf16 (the same command goes on where it was stopped). --check exits with 1 where the
means lie further apart than the standard deviations over the seeds, both together.
"""

import dataclasses
import statistics
import sys

import measure

from relvit_lab.paper.records import small_study as small
from relvit_lab.paper.records.store import find_record, read_records
from relvit_lab.show.follow import follow
from relvit_lab.train.training import run

METRICS = {"pretrain": ("sprel", "abspos"), "finetune": ("accuracy",)}


def main() -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--data-dir", default="data", help="where cifar10.npz is, or is to be downloaded to")
    parser.add_argument("--run-dir", default="runs/bf16")
    parser.add_argument("--seeds", default="0,1,2")
    o = parser.parse_args()
    report, seeds, records = measure.Report(o), [int(seed) for seed in o.seeds.split(",")], read_records()
    float32, bf16 = {}, {}  # (stage, metric) -> a value for each seed
    for seed in seeds:
        experiment = small.experiment("finetuned", seed)
        own = dataclasses.replace(experiment, precision="bf16", compile="true", data_dir=o.data_dir, run_dir=o.run_dir)
        results = [finished.result for finished in follow(run(own))]
        for stage, result in zip(experiment.stages(), results):
            for metric in METRICS[stage.name]:
                key = stage.name, metric
                float32.setdefault(key, []).append(find_record(records, stage)["metrics"][metric])
                bf16.setdefault(key, []).append(result["metrics"][metric])
    for (stage, metric), values in float32.items():
        own = bf16[stage, metric]
        shown = " and ".join(", ".join(f"{value:.1f}" for value in side) for side in (own, values))
        spread = sum(statistics.stdev(side) for side in (own, values)) if len(seeds) > 1 else None
        report.add(
            measure.Row(
                f"CIFAR-10, ViT-nano, {stage}: mean {metric} of seeds {o.seeds} in bf16, compiled, away from float32",
                [abs(statistics.mean(own) - statistics.mean(values))],
                "points", mark=spread, less=True, detail=f"{shown} %",
            )
        )  # fmt: skip
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
