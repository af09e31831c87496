"""Expressions smoothed over time, whatever the frame rate."""

from __future__ import annotations

import math

import numpy as np

from crossfer.video.frames import NUMBER

_MEMORY, _CONSTANTS = 10.0, 20.0  # what is so many time constants old counts for 2 parts in 10^9


class Smoother:
    """An exponential moving average of each person's probabilities, with a time constant in seconds.

    With p_i the probabilities at time t_i and tau the time constant::

        s_0 = p_0
        s_i = s_(i-1) + (1 - exp(-(t_i - t_(i-1)) / tau)) (p_i - s_(i-1))

    This is what a first-order low-pass filter gives if p_i held since t_(i-1): what was seen tau seconds ago
    counts 1/e as much as what is seen now, at 5 frames a second as at 60, at a rate that varies, and over a
    gap. The probabilities still sum to 1.

    Args:
        tau: time constant in seconds; 0 leaves the probabilities as they are.

    Raises:
        ValueError: if ``tau`` is no number, negative or not finite.
    """

    def __init__(self, tau: float) -> None:
        if not (isinstance(tau, NUMBER) and math.isfinite(tau) and tau >= 0):
            raise ValueError(f"smoothing: expected a time constant of 0 or more seconds, got {tau!r}")
        self.tau = float(tau)
        self.memory = max(_MEMORY, _CONSTANTS * self.tau)
        self._last: dict[int, tuple[float, np.ndarray]] = {}

    def smooth(self, track: int, time: float, probabilities: np.ndarray) -> np.ndarray:
        """The smoothed probabilities of a person after one more observation.

        Args:
            track: who.
            time: when, in seconds; never before the person's last observation.
            probabilities: (K,), as recognised in this frame.

        Returns:
            (K,) float64.
        """
        new = np.asarray(probabilities, np.float64)
        if track in self._last and self.tau > 0:
            before, old = self._last[track]
            new = old - math.expm1(-(time - before) / self.tau) * (new - old)
        self._last[track] = (time, new)
        return new

    def forget(self, now: float) -> None:
        """Drops people not seen for so long that it makes no difference, so that memory stays constant."""
        gone = [track for track, (time, _) in self._last.items() if now - time > self.memory]
        for track in gone:
            del self._last[track]

    def to_dict(self) -> dict[str, list[float]]:
        """The state as plain values: time and probabilities by track; JSON keeps every bit of them."""
        return {str(track): [time, *values.tolist()] for track, (time, values) in self._last.items()}

    def restore(self, state: dict[str, list[float]]) -> None:
        """Takes up the state that ``to_dict`` gave."""
        self._last = {int(track): (time, np.array(values)) for track, (time, *values) in state.items()}
