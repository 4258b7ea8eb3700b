"""The exercise of notebook 05 that belongs to its shortcut lab; exercises.py loads it."""

from typing import Any

from relvit_lab.lessons.ask.answers import number
from relvit_lab.lessons.ask.tables import compared


def _fall(steps: list[int], sprel: list[float], switch: dict) -> float:
    first = steps.index(switch["step"])  # at a switch there are two values for one step
    return sprel[first] - sprel[first + 1]


def _lost(steps: list[int], sprel: list[float], switches: list[dict]) -> float:
    """SpRel just before less SpRel just after PE was first taken away; 0 where it never was."""
    taken = [switch for switch in switches if switch["setting"] == "pos_embed" and not switch["on"]]
    return _fall(steps, sprel, taken[0]) if taken else 0.0


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
    },
    reads=lambda value, shown: number(value, shown, "one number, in points"),
    reference=_lost,
    wrong={
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
