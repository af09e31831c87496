"""Exponential smoothing in time as its defining sum, term by term."""

import math


def smoothed(times, values, tau):
    """What each value weighs in the last average: it held since the one before, and fades with its age.

    The first value counts as if it had held for ever.
    """
    now = times[-1]
    total = [0.0] * len(values[0])
    for number, (time, value) in enumerate(zip(times, values, strict=True)):
        weight = math.exp(-(now - time) / tau)
        if number > 0:
            weight -= math.exp(-(now - times[number - 1]) / tau)
        total = [so_far + weight * part for so_far, part in zip(total, value, strict=True)]
    return total
