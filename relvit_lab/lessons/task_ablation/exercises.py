"""Exercises and predictions of notebook 06_task_ablation."""

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, Prediction, call
from relvit_lab.paper import ablation
from relvit_lab.paper.ablation import has
from relvit_lab.paper.numbers import TASK_NAMES, label

PREDICTIONS.add(
    Prediction(
        "06-alone",
        "Four models, each pre-trained on one task alone. Which is the best after fine-tuning, in the paper's Table 4?",
        "AbsPos",
        "AbsPos 89.39, Dist 89.27, SpRel 89.02, Ang 88.75. The text calls SpRel the most performing, for another "
        "reason: see section 5.",
    )
)
PREDICTIONS.add(
    Prediction(
        "06-score",
        "Eight combinations contain SpRel. Is the one with the best SpRel score also the best after fine-tuning?",
        "no: it is the worst of the eight",
        "SpRel + Dist + Ang has the highest SpRel accuracy, 48.98, and the lowest accuracy after fine-tuning, 88.81. "
        "All eight SpRel scores lie within half a point.",
    )
)
PREDICTIONS.add(
    Prediction(
        "06-range",
        "Fifteen models that are equally good, each trained once. One run scatters by ±0.09 points. "
        "How far apart are the best and the worst, on average?",
        "0.31 points",
        "The best of fifteen lies about 1.7 standard deviations above the mean, the worst as far below it: "
        "3.47 x 0.09 = 0.31.",
    )
)
PREDICTIONS.add(
    Prediction(
        "06-top",
        "Rank the fifteen combinations at random. How often is there some task (one of the four, whichever) that is in "
        "all of the best three?",
        "in 44 % of the rankings",
        "Each task is in 8 of the 15, so in all of three with probability 8/15 x 7/14 x 6/13 = 12 %. There are four "
        "tasks, and nobody said beforehand which one to look for.",
    )
)


def _a_number(value: Any, shown: str) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mistake(f"one number is asked for, but {shown} gives a {type(value).__name__}")
    return float(value)


def _tables() -> list[tuple[str, dict[str, float]]]:
    """Table 4's accuracies, and made-up ones."""
    noise = torch.randn(15, generator=torch.Generator().manual_seed(4)).tolist()
    return [
        ("Table 4's accuracies", ablation.printed()),
        ("other accuracies", {row: 70 + 3 * draw for row, draw in zip(ablation.COMBINATIONS, noise)}),
    ]


def _first_that_fits(got: float, mistakes: Mapping[str, float]) -> None:
    for says, wrong in mistakes.items():
        if math.isclose(got, wrong, abs_tol=1e-6):
            raise Mistake(says)


# -- 06-effect: what a task adds, over all combinations ------------------------------------------------------------


def _split(values: Mapping[str, float], task: str) -> tuple[list[float], list[float]]:
    """The accuracies with the task, and those without."""
    return [v for row, v in values.items() if has(row, task)], [v for row, v in values.items() if not has(row, task)]


def _judge_effect(answer: Callable) -> str:
    for name, values in _tables():
        for task in TASK_NAMES:
            shown = f"effect_of(values, '{task}') for {name}"
            got = _a_number(call(answer, dict(values), task, shown=shown), shown)
            right = ablation.main_effect(values, task)
            if math.isclose(got, right, abs_tol=1e-6):
                continue
            with_it, without = _split(values, task)
            others = [values[other] for other in TASK_NAMES if other != task]
            mistakes = {
                f"the other way round: {label(task)} would take away what it adds": -right,
                f"sums: {len(with_it)} combinations have {label(task)} and {len(without)} do not, so take means": sum(
                    with_it
                )
                - sum(without),
                "less the mean of all 15: that mean holds the combinations with the task, too. Take those "
                "without": statistics.mean(with_it) - statistics.mean(values.values()),
                f"that is {label(task)} alone against the other tasks alone: all 15 combinations count": values[task]
                - statistics.mean(others),
                "medians: take means": statistics.median(with_it) - statistics.median(without),
                "that is the mean with the task: subtract the mean without": statistics.mean(with_it),
            }
            _first_that_fits(got, mistakes)
            raise Mistake(
                f"it is {right:+.4f} ({len(with_it)} with it, {len(without)} without), but {shown} gives {got:+.4f}"
            )
    return "All eight with it against all seven without."


EXERCISES.add(
    Exercise(
        "06-effect",
        "what a task adds",
        difficulty=1,
        minutes=8,
        judge=_judge_effect,
        reference=ablation.main_effect,
        wrong={
            "other way round": lambda values, task: -ablation.main_effect(values, task),
            "sums": lambda values, task: sum(v if has(row, task) else -v for row, v in values.items()),
            "mean of all 15": lambda values, task: (
                statistics.mean(_split(values, task)[0]) - statistics.mean(values.values())
            ),
            "against the other tasks alone": lambda values, task: (
                values[task] - statistics.mean(values[other] for other in TASK_NAMES if other != task)
            ),
            "medians": lambda values, task: (
                statistics.median(_split(values, task)[0]) - statistics.median(_split(values, task)[1])
            ),
            "subtract the mean without": lambda values, task: statistics.mean(_split(values, task)[0]),
            "gives a tuple": lambda values, task: _split(values, task),
        },
    )
)


# -- 06-interaction: does one task add more where another is? ------------------------------------------------------


def _judge_interaction(answer: Callable) -> str:
    for name, values in _tables():
        for one, other in (("sprel", "abspos"), ("dist", "ang"), ("sprel", "dist")):
            shown = f"interaction_of(values, '{one}', '{other}') for {name}"
            got = _a_number(call(answer, dict(values), one, other, shown=shown), shown)
            right = ablation.interaction(values, one, other)
            if math.isclose(got, right, abs_tol=1e-6):
                continue
            mean = ablation.two_by_two(values, one, other)
            with_other, without = mean[True, True] - mean[False, True], mean[True, False] - mean[False, False]
            single = values[f"{one}+{other}"] - values[one] - values[other]
            mistakes = {
                "the other way round: what it adds with the other, less what it adds without": -right,
                "half of it: some books do that; here it is the whole difference": right / 2,
                f"the sum of what {label(one)} adds with and without {label(other)}: take the difference": with_other
                + without,
                f"that is what {label(one)} adds where {label(other)} is there: subtract what it adds where it "
                "is not": with_other,
                "the combinations with neither are left out: they say where one starts from": mean[True, True]
                - mean[True, False]
                - mean[False, True],
                "only the three combinations of these two tasks are looked at: take the means of all with both, with "
                "one, and with neither": single,
            }
            _first_that_fits(got, mistakes)
            raise Mistake(f"it is {right:+.4f}, but {shown} gives {got:+.4f}")
    return "A difference of differences; it does not matter which of the two tasks comes first."


def _cells(values: Mapping[str, float], one: str, other: str) -> tuple[float, float, float, float]:
    mean = ablation.two_by_two(values, one, other)
    return mean[True, True], mean[True, False], mean[False, True], mean[False, False]


def _of_cells(formula: Callable[[float, float, float, float], float]) -> Callable:
    return lambda values, one, other: formula(*_cells(values, one, other))


EXERCISES.add(
    Exercise(
        "06-interaction",
        "do two tasks help one another?",
        difficulty=2,
        minutes=10,
        judge=_judge_interaction,
        reference=ablation.interaction,
        wrong={
            "other way round": _of_cells(lambda both, one, other, none: one - none - both + other),
            "half of it": _of_cells(lambda both, one, other, none: (both - one - other + none) / 2),
            "take the difference": _of_cells(lambda both, one, other, none: both - other + one - none),
            "subtract what it adds where it is not": _of_cells(lambda both, one, other, none: both - other),
            "with neither are left out": _of_cells(lambda both, one, other, none: both - one - other),
            "only the three combinations": lambda values, one, other: (
                values[f"{one}+{other}"] - values[one] - values[other]
            ),
            "gives a tuple": _cells,
        },
    )
)


# -- 06-chance: best minus worst of equal models -------------------------------------------------------------------


def _best_minus_worst(spread: float, models: int, draws: int, generator: torch.Generator) -> Tensor:
    accuracy = spread * torch.randn(draws, models, generator=generator)  # their common mean falls out
    return accuracy.max(1).values - accuracy.min(1).values  # (draws,models) -> (draws,)


def _uniform(spread: float, models: int, draws: int, generator: torch.Generator) -> Tensor:
    accuracy = spread * torch.rand(draws, models, generator=generator)
    return accuracy.max(1).values - accuracy.min(1).values


EXPECTED = {15: 3.4718, 5: 2.3259}  # mean range of so many standard normal draws


def _draw(answer: Callable, spread: float, models: int, draws: int, seed: int) -> Tensor:
    shown = f"best_minus_worst({spread}, {models}, {draws}, generator)"
    got = call(answer, spread, models, draws, torch.Generator().manual_seed(seed), shown=shown)
    if not isinstance(got, Tensor):
        raise Mistake(f"a tensor of shape ({draws},) is asked for, but {shown} gives a {type(got).__name__}")
    if tuple(got.shape) == (models,):
        raise Mistake(
            f"the result has the shape ({models},): that is best minus worst over the draws, for each model. Take it "
            "over the models, for each draw"
        )
    if tuple(got.shape) != (draws,):
        raise Mistake(f"a tensor of shape ({draws},) is asked for, but {shown} gives {tuple(got.shape)}")
    return got.double()


def _judge_chance(answer: Callable) -> str:
    for spread, models, draws in ((0.2, 15, 4000), (2.0, 5, 4000)):
        first, again, other = (_draw(answer, spread, models, draws, seed) for seed in (0, 0, 1))
        if not torch.equal(first, again) or torch.equal(first, other):
            raise Mistake("draw with the generator: the same seed gives the same numbers, another seed gives others")
        if (first < 0).any():
            raise Mistake("some are negative: the best lies above the worst, so the difference cannot be")
        ratio = first.mean().item() / (spread * EXPECTED[models])
        if 0.97 < ratio < 1.03:
            continue
        said = f"On average it should be {spread * EXPECTED[models]:.2f} here, and is {first.mean():.2f}"
        mistakes = {
            "the spread counts twice (squared)": spread,
            "the spread is left out": 1 / spread,
            "that is the best above the mean: subtract the worst": 0.5,
            f"that is the spread of the {models} models, not the best minus the worst": 0.983 / EXPECTED[models],
        }
        for says, expected in mistakes.items():
            if abs(ratio - expected) < 0.025 * expected:
                raise Mistake(f"{says}. {said}")
        raise Mistake(f"{said}: are the draws normal, with this spread as standard deviation?")
    return "Nothing but chance, and the best is always above the worst."


EXERCISES.add(
    Exercise(
        "06-chance",
        "fifteen equal models",
        difficulty=2,
        minutes=10,
        judge=_judge_chance,
        reference=_best_minus_worst,
        wrong={
            "counts twice": lambda s, m, n, g: _best_minus_worst(s * s, m, n, g),
            "left out": lambda s, m, n, g: _best_minus_worst(1.0, m, n, g),
            "best above the mean": lambda s, m, n, g: (s * torch.randn(n, m, generator=g)).max(1).values.clamp(min=0),
            "for each model": lambda s, m, n, g: (s * torch.randn(n, m, generator=g)).max(0).values,
            "are the draws normal": _uniform,
            "draw with the generator": lambda s, m, n, g: _best_minus_worst(s, m, n, torch.Generator().manual_seed(0)),
            "that is the spread": lambda s, m, n, g: (s * torch.randn(n, m, generator=g)).std(1),
            "negative": lambda s, m, n, g: -_best_minus_worst(s, m, n, g),
            "a tensor of shape": lambda s, m, n, g: _best_minus_worst(s, m, n, g).mean().item(),
        },
    )
)


# -- 06-error: how far a main effect can be trusted ----------------------------------------------------------------


def _spread_of_effect(spread: float, n_with: int, n_without: int) -> float:
    return spread * math.sqrt(1 / n_with + 1 / n_without)


def _judge_error(answer: Callable) -> str:
    for spread, n_with, n_without in ((0.09, 8, 7), (0.46, 8, 7), (2.0, 4, 3)):
        shown = f"spread_of_effect({spread}, {n_with}, {n_without})"
        got = _a_number(call(answer, spread, n_with, n_without, shown=shown), shown)
        right = _spread_of_effect(spread, n_with, n_without)
        if math.isclose(got, right, rel_tol=1e-6):
            continue
        a, b = spread / math.sqrt(n_with), spread / math.sqrt(n_without)
        mistakes = {
            "that is the variance: take its square root": right**2,
            "the spreads of the two means are added: it is their variances that add up": a + b,
            "the variances are subtracted: even of a difference they add up": math.sqrt(abs(a * a - b * b)),
            "that is the spread of one mean of all of them: there are two means, and each scatters": spread
            / math.sqrt(n_with + n_without),
            "that is the spread of one run: means of several scatter less": spread,
            "divided by the numbers, not by their roots: the variance of a mean of n runs is spread² / n": spread
            * math.sqrt(1 / n_with**2 + 1 / n_without**2),
        }
        for says, wrong in mistakes.items():
            if math.isclose(got, wrong, rel_tol=1e-6):
                raise Mistake(says)
        raise Mistake(f"it is {right:.4f}, but {shown} gives {got:.4f}")
    return "About half the spread of one run: fifteen runs are behind each effect."


EXERCISES.add(
    Exercise(
        "06-error",
        "how far an effect can be trusted",
        difficulty=3,
        minutes=10,
        judge=_judge_error,
        reference=_spread_of_effect,
        wrong={
            "variance: take its square root": lambda s, n, m: s * s * (1 / n + 1 / m),
            "are added": lambda s, n, m: s / math.sqrt(n) + s / math.sqrt(m),
            "are subtracted": lambda s, n, m: s * math.sqrt(abs(1 / n - 1 / m)),
            "one mean of all": lambda s, n, m: s / math.sqrt(n + m),
            "spread of one run": lambda s, n, m: s,
            "not by their roots": lambda s, n, m: s * math.sqrt(1 / n**2 + 1 / m**2),
            "it is 0.0466, but": lambda s, n, m: s * s,
        },
    )
)
