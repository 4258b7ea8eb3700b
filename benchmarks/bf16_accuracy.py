"""What bf16 does to accuracy: CIFAR-10 at laptop scale, pre-trained and fine-tuned, in bf16 and in float32.

    python benchmarks/bf16_accuracy.py --data-dir DIR [--seeds 0,1,2] [--check]

The runs in float32 are those on record (results/); those in bf16 are trained here, some minutes each on two cores, and
kept in runs/bf16 (the same command goes on where it was stopped). --check exits with 1 where a mean in bf16 lies
outside the spread of the seeds in float32: further than the two means' standard deviations together.
"""

import argparse
import dataclasses
import sys

from relvit_lab import laptop
from relvit_lab.progress import follow
from relvit_lab.results import find_record, mean_sd, read_records
from relvit_lab.training import run

METRICS = {"pretrain": ("sprel", "abspos"), "finetune": ("accuracy",)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default="data", help="where cifar10.npz is, or is to be downloaded to")
    parser.add_argument("--run-dir", default="runs/bf16")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--check", action="store_true")
    o = parser.parse_args()
    seeds, records = [int(seed) for seed in o.seeds.split(",")], read_records()
    float32, bf16 = {}, {}  # (stage, metric) -> a value for each seed
    for seed in seeds:
        experiment = laptop.experiment("finetuned", seed)
        own = dataclasses.replace(experiment, precision="bf16", data_dir=o.data_dir, run_dir=o.run_dir)
        results = [finished.result for finished in follow(run(own))]
        for stage, result in zip(experiment.stages(), results):
            for metric in METRICS[stage.name]:
                key = stage.name, metric
                float32.setdefault(key, []).append(find_record(records, stage)["metrics"][metric])
                bf16.setdefault(key, []).append(result["metrics"][metric])
    outside = False
    print(f"\n{'seeds ' + o.seeds:<22}{'float32':>28}{'bf16':>28}")
    for stage, metric in float32:
        pair = [values[stage, metric] for values in (float32, bf16)]
        (one, spread), (other, own_spread) = map(mean_sd, pair)
        shown = ["  ".join(f"{value:.1f}" for value in values) + f"  ({mean_sd(values)[0]:.2f})" for values in pair]
        within = abs(other - one) <= (spread or 0) + (own_spread or 0)
        outside |= not within
        print(f"{stage + ', ' + metric:<22}{shown[0]:>28}{shown[1]:>28}  {'within' if within else 'OUTSIDE'}")
    return int(outside and o.check)


if __name__ == "__main__":
    sys.exit(main())
