"""Decoding and non-maximum suppression of CenterFace, cell by cell and pair by pair."""

from __future__ import annotations

import math

import numpy as np

STRIDE = 4


def decode(heat, log_size, offset, landmarks, min_score):
    boxes, scores, points = [], [], []
    height, width = heat.shape
    for row in range(height):
        for column in range(width):
            if heat[row, column] < min_score:
                continue
            box_height = math.exp(log_size[0, row, column]) * STRIDE
            box_width = math.exp(log_size[1, row, column]) * STRIDE
            center_y = (row + offset[0, row, column] + 0.5) * STRIDE
            center_x = (column + offset[1, row, column] + 0.5) * STRIDE
            x, y = center_x - box_width / 2, center_y - box_height / 2
            boxes.append([x, y, x + box_width, y + box_height])
            scores.append(heat[row, column])
            points.append(
                [
                    [
                        x + landmarks[2 * point + 1, row, column] * box_width,
                        y + landmarks[2 * point, row, column] * box_height,
                    ]
                    for point in range(5)
                ]
            )
    return np.array(boxes).reshape(-1, 4), np.array(scores), np.array(points).reshape(-1, 5, 2)


def overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / either if either > 0 else 0.0


def non_maximum_suppression(boxes, scores, max_overlap):
    kept = []
    for candidate in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
        if all(overlap(boxes[candidate], boxes[other]) <= max_overlap for other in kept):
            kept.append(candidate)
    return kept
