"""Exercises of notebook 06_task_ablation."""

import math
import statistics
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from relvit_lab.lessons.ask.answers import name_mistake, number, tensor
from relvit_lab.lessons.ask.base import call
from relvit_lab.lessons.ask.tables import compared
from relvit_lab.paper import ablation
from relvit_lab.paper.ablation import has
from relvit_lab.paper.numbers import TASK_NAMES


def _on_tables(*tasks: tuple[str, ...]) -> dict[str, tuple]:
    """Inputs: Table 4's accuracies, and made-up ones, each with the tasks."""
    noise = torch.randn(15, generator=torch.Generator().manual_seed(4)).tolist()
    tables = {
        "Table 4's accuracies": ablation.printed(),
        "other accuracies": {row: 70 + 3 * draw for row, draw in zip(ablation.COMBINATIONS, noise)},
    }
    return {
        f"{name}, {', '.join(map(repr, names))}": (values, *names) for name, values in tables.items() for names in tasks
    }


# -- 06-effect: what a task adds, over all combinations ------------------------------------------------------------


def _split(values: Mapping[str, float], task: str) -> tuple[list[float], list[float]]:
    """The accuracies with the task, and those without."""
    return [v for row, v in values.items() if has(row, task)], [v for row, v in values.items() if not has(row, task)]


def _difference(of: Callable[[list[float]], float]) -> Callable:
    return lambda values, task: of(_split(values, task)[0]) - of(_split(values, task)[1])


compared(
    "06-effect", "what a task adds", 1, 8,
    asks="effect_of",
    on=_on_tables(*((task,) for task in TASK_NAMES)),
    reads=number, rtol=0, atol=1e-3,  # float32 will do
    reference=ablation.main_effect,
    wrong={
        "the other way round: the task would take away what it adds": lambda *a: -ablation.main_effect(*a),
        "sums: 8 combinations have the task and 7 do not, so take means": _difference(sum),
        "less the mean of all 15: that mean holds the combinations with the task, too. Take those without":
            lambda values, task: statistics.mean(_split(values, task)[0]) - statistics.mean(values.values()),
        "that is the task alone against the other tasks alone: all 15 combinations count":
            lambda values, task: values[task] - statistics.mean(values[other] for other in TASK_NAMES if other != task),
        "medians: take means": _difference(statistics.median),
        "that is the mean with the task: subtract the mean without":
            lambda values, task: statistics.mean(_split(values, task)[0]),
    },
    hint="The mean of the 8 combinations with the task, less the mean of the 7 without",
    praise="All eight with it against all seven without.",
)  # fmt: skip


# -- 06-interaction: does one task add more where another is? ------------------------------------------------------


def _of_cells(formula: Callable[[float, float, float, float], float]) -> Callable:
    """An answer made from the mean accuracies with both, with one alone, with the other alone, and with neither."""

    def answer(values: Mapping[str, float], one: str, other: str) -> float:
        mean = ablation.two_by_two(values, one, other)
        return formula(mean[True, True], mean[True, False], mean[False, True], mean[False, False])

    return answer


compared(
    "06-interaction", "do two tasks help one another?", 2, 10,
    asks="interaction_of",
    on=_on_tables(("sprel", "abspos"), ("dist", "ang"), ("sprel", "dist")),
    reads=number, rtol=0, atol=1e-3,  # float32 will do
    reference=ablation.interaction,
    wrong={
        "the other way round: what it adds with the other, less what it adds without":
            lambda *a: -ablation.interaction(*a),
        "half of it: some books do that; here it is the whole difference": lambda *a: ablation.interaction(*a) / 2,
        "the sum of what the one adds with and without the other: take the difference":
            _of_cells(lambda both, one, other, none: both - other + one - none),
        "that is what the one adds where the other is there: subtract what it adds where it is not":
            _of_cells(lambda both, one, other, none: both - other),
        "the combinations with neither are left out: they say where one starts from":
            _of_cells(lambda both, one, other, none: both - one - other),
        "only the three combinations of these two tasks are looked at: take the means of all with both, with one, and "
        "with neither": lambda values, one, other: values[f"{one}+{other}"] - values[one] - values[other],
    },
    praise="A difference of differences; it does not matter which of the two tasks comes first.",
)  # fmt: skip


# -- 06-chance: best minus worst of equal models -------------------------------------------------------------------


def _range(accuracy: Tensor) -> Tensor:
    return accuracy.max(1).values - accuracy.min(1).values  # (draws,models) -> (draws,)


def _best_minus_worst(spread: float, models: int, draws: int, generator: torch.Generator) -> Tensor:
    return _range(spread * torch.randn(draws, models, generator=generator))  # their common mean falls out


def _mean_of_draws(answer: Callable, shown: str, spread: float, models: int, draws: int) -> float:
    def draw(seed: int) -> Tensor:
        got = tensor(call(answer, spread, models, draws, torch.Generator().manual_seed(seed), shown=shown), shown)
        name_mistake({
            f"the result has the shape ({models},): that is best minus worst over the draws, for each model. Take it "
            "over the models, for each draw": tuple(got.shape) == (models,),
        })  # fmt: skip
        return tensor(got, shown, (draws,)).double()

    first = draw(0)
    name_mistake({
        "draw with the generator: the same seed gives the same numbers, another seed gives others":
            not torch.equal(first, draw(0)) or torch.equal(first, draw(1)),
        "some are negative: the best lies above the worst, so the difference cannot be": (first < 0).any(),
    })  # fmt: skip
    return first.mean().item()


compared(
    "06-chance", "fifteen equal models", 2, 10,
    asks="best_minus_worst(spread, models, draws)",
    on=[(0.2, 15, 10_000), (2.0, 5, 10_000)],
    # of 10,000 draws the mean is known to 0.4 %, so two ways of drawing the same differ by less than 3 %
    gather=_mean_of_draws, reads=number, rtol=0.03, atol=0,
    tell=lambda d: f"{d.shown} should be {d.right:.2f} on average, and is {d.got:.2f}",
    reference=_best_minus_worst,
    wrong={
        "the spread counts twice (squared)": lambda s, m, n, g: _best_minus_worst(s * s, m, n, g),
        "the spread is left out": lambda s, m, n, g: _best_minus_worst(1.0, m, n, g),
        "that is the best above the mean: subtract the worst":
            lambda s, m, n, g: (s * torch.randn(n, m, generator=g)).max(1).values.clamp(min=0),
        "that is the spread of the models, not the best minus the worst":
            lambda s, m, n, g: (s * torch.randn(n, m, generator=g)).std(1),
        "these draws are uniform; they should be normal, with this spread as standard deviation":
            lambda s, m, n, g: _range(s * torch.rand(n, m, generator=g)),
        "over the draws, for each model": lambda s, m, n, g: (s * torch.randn(n, m, generator=g)).max(0).values,
        "draw with the generator": lambda s, m, n, g: _best_minus_worst(s, m, n, torch.Generator().manual_seed(0)),
        "some are negative": lambda s, m, n, g: -_best_minus_worst(s, m, n, g),
    },
    hint="Are the draws normal, with this spread as standard deviation?",
    praise="Nothing but chance, and the best is always above the worst.",
)  # fmt: skip

compared(
    "06-error", "how far an effect can be trusted", 3, 10,
    asks="spread_of_effect(spread, n_with, n_without)",
    on=[(0.09, 8, 7), (0.46, 8, 7), (2.0, 4, 3)],
    reads=number, rtol=1e-6, atol=0,
    reference=lambda s, n, m: s * math.sqrt(1 / n + 1 / m),
    wrong={
        "that is the variance: take its square root": lambda s, n, m: s * s * (1 / n + 1 / m),
        "the spreads of the two means are added: it is their variances that add up":
            lambda s, n, m: s / math.sqrt(n) + s / math.sqrt(m),
        "the variances are subtracted: even of a difference they add up":
            lambda s, n, m: s * math.sqrt(abs(1 / n - 1 / m)),
        "that is the spread of one mean of all of them: there are two means, and each scatters":
            lambda s, n, m: s / math.sqrt(n + m),
        "that is the spread of one run: means of several scatter less": lambda s, n, m: s,
        "divided by the numbers, not by their roots: the variance of a mean of n runs is spread² / n":
            lambda s, n, m: s * math.sqrt(1 / n**2 + 1 / m**2),
    },
    praise="About half the spread of one run: fifteen runs are behind each effect.",
)  # fmt: skip
