"""The exercise of notebook 05 that belongs to its shortcut lab; exercises.py loads it."""

import itertools
from typing import Any

from relvit_lab.lessons.ask.answers import number
from relvit_lab.lessons.ask.tables import compared


def _fall(steps: list[int], sprel: list[float], switch: dict) -> float:
    first = steps.index(switch["step"])  # at a switch there are two values for one step
    return sprel[first] - sprel[first + 1]


def _falls(steps: list[int], sprel: list[float], switches: list[dict]) -> list[float]:
    """SpRel just before less SpRel just after, each time that PE was taken away; [0] where it never was."""
    away = [switch for switch in switches if switch["setting"] == "pos_embed" and not switch["on"]]
    return [_fall(steps, sprel, switch) for switch in away] or [0.0]


def _lost(steps: list[int], sprel: list[float], switches: list[dict]) -> float:
    return _falls(steps, sprel, switches)[0]


def _switch(step: int, setting: str, on: bool) -> dict[str, Any]:
    return {"step": step, "setting": setting, "on": on}


_AWAY = _switch(12, "pos_embed", False)

compared(
    "05-lost", "how much of it was read off E_pos", 1, 8,
    asks="lost_with_pe",
    on={
        "a try whose PE was taken away at step 12":
            ([0, 6, 12, 12, 18, 24], [12.0, 40.0, 90.0, 25.0, 30.0, 35.0], [_AWAY]),
        "a try without a switch (nothing was taken away)": ([0, 6, 12], [12.0, 20.0, 30.0], []),
        "a try that was shuffled at step 6, before PE was taken away at step 12":
            ([0, 6, 12, 12, 18], [10.0, 50.0, 70.0, 20.0, 25.0], [_switch(6, "shuffle", True), _AWAY]),
        "a try that began without PE, and got it at step 6":
            ([0, 6, 6, 12, 12], [12.0, 30.0, 31.0, 95.0, 15.0], [_switch(6, "pos_embed", True), _AWAY]),
        "a try whose PE was taken away at step 12, came back, and was taken away again":
            ([0, 12, 12, 18, 18, 24, 24], [12.0, 70.0, 30.0, 35.0, 45.0, 60.0, 45.0],
             [_AWAY, _switch(18, "pos_embed", True), _switch(24, "pos_embed", False)]),
        "a try whose shuffle and crop were switched off before its PE":
            ([0, 3, 6, 12, 12, 18], [12.0, 20.0, 50.0, 90.0, 35.0, 40.0],
             [_switch(3, "shuffle", False), _switch(6, "crop", False), _AWAY]),
        "a try that fell further at other steps than when PE was taken away":
            ([0, 6, 6, 12, 12, 18, 24, 30], [12.0, 50.0, 20.0, 60.0, 50.0, 52.0, 8.0, 33.0],
             [_switch(6, "pos_embed", True), _AWAY, _switch(18, "shuffle", True)]),
        "a try that was better without PE": ([0, 12, 12, 18], [12.0, 30.0, 35.0, 60.0], [_AWAY]),
    },
    reads=lambda value, shown: number(value, shown, "one number, in points"),
    reference=_lost,
    wrong={
        "a rise is a loss below 0: give the difference as it is, without abs()": lambda *a: abs(_lost(*a)),
        "a rise is a loss below 0, not 0: give the difference as it is": lambda *a: max(0.0, _lost(*a)),
        "that is the last time that PE was taken away: the first is asked for": lambda *a: _falls(*a)[-1],
        "that is the sum over all times that PE was taken away: the first alone is asked for":
            lambda *a: sum(_falls(*a)),
        "`on` is False for other settings, too: the switch must be one of pos_embed":
            lambda steps, sprel, switches: next((_fall(steps, sprel, one) for one in switches if not one["on"]), 0.0),
        "that is the largest fall at any step that is there twice: PE may come there, too, not only go":
            lambda steps, sprel, switches: max(
                (sprel[k] - sprel[k + 1] for k in range(len(steps) - 1) if steps[k] == steps[k + 1]), default=0.0
            ),
        "that is the largest fall from one value to the next, wherever it is: the fall at the switch may be smaller":
            lambda steps, sprel, switches: max(0.0, *(a - b for a, b in itertools.pairwise(sprel))),
        "that is the largest fall between any two values: what was lost when PE was taken away may be less":
            lambda steps, sprel, switches: max(0.0, *(a - b for a, b in itertools.combinations(sprel, 2))),
        "the sign is wrong: before less after": lambda *a: -_lost(*a),
        "that is the same value twice. At the switch there are two values for one step": lambda *a: 0.0,
        "what was learnt before or later is mixed in. Take the two values at the step of the switch":
            lambda steps, sprel, switches: max(sprel) - sprel[-1],
        "first less last mixes in what was learnt before or later. Take the two values at the step of the switch":
            lambda steps, sprel, switches: sprel[0] - sprel[-1],
        "only the switch counts that sets pos_embed to False":
            lambda steps, sprel, switches: _fall(steps, sprel, switches[0]) if switches else 0.0,
    },
    hint="Only the switch counts that sets pos_embed to False: the value just before it less the value just after",
    praise="At that step the weights are the same: what is lost is what was read off E_pos.",
)  # fmt: skip
