"""FER+'s two rules, one sentence at a time."""

from __future__ import annotations


def majority(votes: list[int]) -> int | None:
    remaining = []
    for vote in votes:
        remaining.append(0 if vote <= 1 else vote)
    total = 0
    for vote in remaining:
        total += vote
    for column, vote in enumerate(remaining):
        if vote > 0.5 * total:
            return column if column < 8 else None
    return None


def argmax(votes: list[int]) -> int | None:
    best = 0
    for column in range(1, 10):
        if votes[column] > votes[best]:
            best = column
    return best if best < 8 and votes[best] > 0 else None


def soft_label(votes: list[int]) -> list[float]:
    remaining = [vote if vote > 1 else 0 for vote in votes[:8]]
    if sum(remaining) == 0:
        remaining = votes[:8]
    return [vote / sum(remaining) for vote in remaining]
