import numpy as np
import pytest
from PIL import Image, ImageColor

from crossfer.figure import ink_on
from crossfer.runtime.align import CropGeometry, crop_square
from crossfer.runtime.annotate import (
    FACE_COLORS,
    MAX_SIDE,
    MIN_SIDE,
    PANEL,
    TRACK,
    annotate,
    draw_face,
    save_png,
)
from crossfer.types import Box, Face, Prediction
from support.system_fonts import system_with

GRID = 6
LANDMARKS = ((40.0, 40.0), (60.0, 40.0), (50.0, 52.0), (42.0, 64.0), (58.0, 64.0))


def face(
    evidence: np.ndarray | None = None,
    box: Box | None = None,
    landmarks=LANDMARKS,
    name: str = "happiness",
    other: str = "anger",
) -> Face:
    cells = np.zeros((2, GRID, GRID), np.float32) if evidence is None else evidence
    prediction = Prediction({name: 0.9, other: 0.1}, cells.sum(axis=(1, 2)), cells)
    return Face(box or Box(30, 20, 40, 60), landmarks, 0.9, prediction)


def grey(width: int = 100, height: int = 100) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_the_photo_itself_is_left_as_it_was():
    image = grey()
    annotate(image, [face()], CropGeometry())
    assert (image == 128).all()


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (30, 20), (640, 480), (3000, 1500), (1, 4000), (4000, 1), (200, 1000)]
)
@pytest.mark.parametrize("count", [0, 1, 40])
def test_any_size_and_number_of_faces_can_be_drawn(width, height, count):
    evidence = np.ones((2, GRID, GRID), np.float32)
    evidence[1] = 0
    drawn = annotate(grey(width, height), [face(evidence)] * count, CropGeometry())
    assert drawn.mode == "RGB"
    assert max(drawn.size) >= MIN_SIDE
    assert drawn.width <= 1.5 * MAX_SIDE
    assert len(np.unique(np.asarray(drawn)[:, -drawn.width // 4 :])) > 2  # the panel says something


def test_evidence_for_is_orange_and_against_is_blue_where_the_model_saw_it():
    evidence = np.zeros((2, GRID, GRID), np.float32)
    evidence[0, 0, 0], evidence[0, -1, -1] = 1, -1
    seen = face(evidence)
    drawn = np.asarray(annotate(grey(), [seen], CropGeometry())).astype(int)
    square = crop_square(seen.box, seen.landmarks, CropGeometry())
    zoom, cell = MIN_SIDE / 100, square.side / GRID

    def at(column: int, row: int):
        x, y = square.left + (column + 0.3) * cell, square.top + (row + 0.3) * cell
        return drawn[round(y * zoom), round(x * zoom)]

    red, _, blue = at(0, 0)
    assert red > blue + 60
    red, _, blue = at(GRID - 1, GRID - 1)
    assert blue > red + 60
    assert at(0, GRID - 1).tolist() == [128] * 3
    outside = drawn[round((square.top + square.side + 3) * zoom), round((square.left - 3) * zoom)]
    assert outside.tolist() == [128] * 3


@pytest.mark.parametrize("part", ["label", "panel"])
@pytest.mark.parametrize(("one", "another"), [("радость", "грустью"), ("Ärger", "Ürger")])
def test_names_beyond_ascii_are_drawn(part, one, another):
    def drawn(name: str) -> np.ndarray:
        whole = np.asarray(annotate(grey(), [face(name=name)], CropGeometry()))
        return whole[:, :MIN_SIDE] if part == "label" else whole[:, MIN_SIDE:]

    with system_with("DejaVuSans.ttf"):
        assert not np.array_equal(drawn(one), drawn(another))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "name", ["happiness", "embarrassed", "not sure at all", "W" * 200, "one\nand another"]
)
def test_names_end_before_their_bars_and_titles_before_the_edge(name, count):
    drawn = annotate(grey(), [face(name=name, other="anger")] * count, CropGeometry())
    panel = np.asarray(drawn)[:, MIN_SIDE:]
    unit = MIN_SIDE / 100

    def of(color: str) -> np.ndarray:
        return (panel == ImageColor.getrgb(color)).all(axis=2)

    rows = of(TRACK).any(axis=1)
    starts = (of(TRACK) | of(FACE_COLORS[0]) | of(FACE_COLORS[1]))[rows].any(axis=0)
    right_of_picture = 0 if count == 1 else round(17 * unit)
    start = right_of_picture + int(starts[right_of_picture:].argmax())
    gap = slice(round(start - unit / 2), start)
    assert of(PANEL)[rows, gap].all()
    assert not of(PANEL)[rows, : gap.start].all()
    assert (start - right_of_picture - 2 * unit < 8.6 * unit) == (name == "happiness")
    assert of(PANEL)[:, -round(1.5 * unit) :].all()


def test_what_all_classes_share_is_no_evidence():
    shared = np.ones((2, GRID, GRID), np.float32)
    with_shared = annotate(grey(), [face(shared)], CropGeometry())
    assert np.array_equal(with_shared, annotate(grey(), [face()], CropGeometry()))


def test_a_face_at_the_edge_and_one_without_landmarks():
    corner = face(np.ones((2, GRID, GRID), np.float32), Box(0, 0, 10, 12))
    whole = face(np.ones((2, GRID, GRID), np.float32), Box(0, 0, 100, 100), landmarks=())
    assert annotate(grey(), [whole, corner], CropGeometry()).size[1] == MIN_SIDE


def test_a_png_is_written_whole(tmp_path):
    path = tmp_path / "drawn.png"
    save_png(Image.fromarray(grey()), path)
    with Image.open(path) as drawn:
        assert drawn.size == (100, 100)
    assert [entry.name for entry in tmp_path.iterdir()] == ["drawn.png"]
    with pytest.raises(FileNotFoundError):
        save_png(Image.fromarray(grey()), tmp_path / "none" / "drawn.png")


@pytest.mark.parametrize(
    ("top", "height", "row"),
    [(60, 80, 60 - 5), (0, 60, 60 + 5), (0, 195, 5)],
    ids=["above", "below", "inside"],
)
def test_a_label_lies_over_its_face_only_where_there_is_no_room_elsewhere(top, height, row):
    photo = Image.new("RGB", (200, 200))
    draw_face(photo, face(box=Box(20, top, 100, height)), 1, 1.0, 10.0)
    filled = (np.asarray(photo) == ImageColor.getrgb(FACE_COLORS[0])).all(axis=2)[:, 30:100].all(axis=1)
    assert filled[row]
    others = {top - 5, top + height + 5, top + 5} - {row}
    assert not any(filled[y] for y in others if 0 <= y < 200)


def test_a_label_is_written_in_the_ink_that_its_colour_asks_for():
    for number, color in enumerate(FACE_COLORS, start=1):
        photo = Image.new("RGB", (400, 400), "#808080")
        draw_face(photo, face(box=Box(20, 200, 300, 100)), number, 1.0, 10.0)
        label = [found for _, found in photo.crop((30, 170, 200, 196)).getcolors(100_000)]
        assert ImageColor.getrgb(ink_on(color)) in label, number
