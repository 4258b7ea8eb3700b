"""The exercise and the predictions of notebook 05 that belong to its shortcut lab; exercises.py loads them."""

from collections.abc import Callable, Mapping
from typing import Any

from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, Prediction, call

PREDICTIONS.add(
    Prediction(
        "05-take",
        "A model is trained with PE, without shuffle, until SpRel is above 95 %. Then PE is taken away, and training "
        "goes on. What does SpRel do on unseen images?",
        "it falls at once, and must begin to look",
        "The weights are the same a moment before and after; only E_pos is missing. What it knew, it knew from E_pos. "
        "The recorded try fell from 98 to 28 %, and ended a little below one that never had PE.",
    )
)
PREDICTIONS.add(
    Prediction(
        "05-give",
        "The other way round: trained without PE, the model has learnt to look (43 %). Now fresh embeddings are added, "
        "and nothing is shuffled. What happens next?",
        "at first nothing, then it climbs to nearly 100 %",
        "Fresh embeddings are small (0.02), so nothing changes at that moment. But they hold the answer, the gradient "
        "finds it, and within a hundred steps the model has gone over to cheating. Having learnt to look does not "
        "protect it.",
    )
)
PREDICTIONS.add(
    Prediction(
        "05-bare",
        "PE off throughout. Patch crop and jitter are switched off as well, so that the patches come as they are. What "
        "does SpRel do, compared with the usual augmentation?",
        "it climbs higher: edges go on from patch to patch",
        "Without the crop, what a patch shows at its border goes on in its neighbour, so neighbours can be matched. "
        "That is a clue, but a shallow one. Of the two it is the crop that counts; the jitter is worth a few points.",
    )
)


def _lost(steps: list[int], sprel: list[float], switches: list[dict]) -> float:
    """SpRel just before less SpRel just after PE was first taken away; 0 where it never was."""
    for switch in switches:
        if switch["setting"] == "pos_embed" and not switch["on"]:
            first = steps.index(switch["step"])
            return sprel[first] - sprel[first + 1]
    return 0.0


def _switch(step: int, setting: str, on: bool) -> dict[str, Any]:
    return {"step": step, "setting": setting, "on": on}


_CASES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (
        "a try whose PE was taken away at step 12",
        {
            "steps": [0, 6, 12, 12, 18, 24],
            "sprel": [12.0, 40.0, 90.0, 25.0, 30.0, 35.0],
            "switches": [_switch(12, "pos_embed", False)],
        },
    ),
    ("a try without a switch", {"steps": [0, 6, 12], "sprel": [12.0, 20.0, 30.0], "switches": []}),
    (
        "a try that was shuffled at step 6, before PE was taken away at step 12",
        {
            "steps": [0, 6, 12, 12, 18],
            "sprel": [10.0, 50.0, 70.0, 20.0, 25.0],
            "switches": [_switch(6, "shuffle", True), _switch(12, "pos_embed", False)],
        },
    ),
    (
        "a try that began without PE, and got it at step 6",
        {
            "steps": [0, 6, 6, 12, 12],
            "sprel": [12.0, 30.0, 31.0, 95.0, 15.0],
            "switches": [_switch(6, "pos_embed", True), _switch(12, "pos_embed", False)],
        },
    ),
)


def _judge_lost(answer: Callable) -> str:
    for what, one in _CASES:
        steps, sprel, switches = (list(one[name]) for name in ("steps", "sprel", "switches"))
        got = call(answer, steps, sprel, switches, shown=f"lost_with_pe(...) for {what}")
        if isinstance(got, bool) or not isinstance(got, int | float):
            raise Mistake(f"one number is asked for, in points, not {type(got).__name__}")
        right = _lost(steps, sprel, switches)
        if abs(got - right) < 1e-6:
            continue
        if right and abs(got + right) < 1e-6:
            raise Mistake(f"{what}: the sign is wrong. It fell by {right:g} points: before less after")
        if not switches:
            raise Mistake(f"{what}: nothing was taken away, so nothing was lost: 0, not {got:g}")
        if abs(got) < 1e-6:
            raise Mistake(f"{what}: that is the same value twice. At the switch there are two values for one step")
        if abs(got - (sprel[0] - sprel[-1])) < 1e-6 or abs(got - (max(sprel) - sprel[-1])) < 1e-6:
            raise Mistake(
                f"{what}: {got:g} mixes in what was learnt before or later. Take the two values at the step of the "
                f"switch: {right:g}"
            )
        raise Mistake(f"{what}: {got:g} is not it. Only the switch counts that sets pos_embed to False: {right:g}")
    return "At that step the weights are the same: what is lost is what was read off E_pos."


EXERCISES.add(
    Exercise(
        "05-lost",
        "how much of it was read off E_pos",
        difficulty=1,
        minutes=8,
        judge=_judge_lost,
        reference=_lost,
        wrong={
            "sign is wrong": lambda steps, sprel, switches: -_lost(steps, sprel, switches),
            "nothing was taken away": lambda steps, sprel, switches: (
                sprel[steps.index(switches[0]["step"])] - sprel[steps.index(switches[0]["step"]) + 1]
                if switches
                else max(sprel) - min(sprel)
            ),
            "the same value twice": lambda steps, sprel, switches: sum(
                sprel[steps.index(each["step"])] - sprel[steps.index(each["step"])] for each in switches
            ),
            "mixes in what was learnt": lambda steps, sprel, switches: max(sprel) - sprel[-1] if switches else 0,
            "only the switch counts": lambda steps, sprel, switches: (
                sprel[steps.index(switches[0]["step"])] - sprel[steps.index(switches[0]["step"]) + 1] if switches else 0
            ),
            "one number": lambda steps, sprel, switches: [sprel],
        },
    )
)
