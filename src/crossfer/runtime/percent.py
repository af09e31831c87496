"""Probabilities for people to read."""

from __future__ import annotations


def percent(probability: float) -> str:
    """A probability (0..1) with one digit; what would round to certainty is said to be near it.

    >>> percent(0.1234), percent(0.99991), percent(0.0002), percent(1.0)
    ('12.3%', '>99.9%', '<0.1%', '>99.9%')
    """
    if probability >= 0.9995:
        return ">99.9%"
    if probability < 0.0005:
        return "<0.1%"
    return f"{probability:.1%}"
