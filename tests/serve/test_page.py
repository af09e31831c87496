"""The page in a real Chromium: what a person sees, hears and can do, and that it asks nobody else."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image, ImageColor
from starlette.datastructures import Headers
from websockets.sync.client import connect

from crossfer.runtime.percent import percent
from crossfer.serve.access import Access
from crossfer.serve.limits import Limits
from crossfer.serve.problems import PROBLEMS
from crossfer.serve.service import Service
from serve.conftest import encoded
from support.bundles import calibration, tiny_graph, tiny_meta, write_bundle
from support.live import TOKEN, running

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

READY = "#model-facts dt >> nth=0"
EXPRESSIONS_ZH = {
    "neutral": "中性", "happiness": "高兴", "surprise": "惊讶", "sadness": "悲伤",
    "anger": "愤怒", "disgust": "厌恶", "fear": "恐惧", "contempt": "轻蔑",
}  # fmt: skip
FLAGS = [
    f"--{flag}"
    for flag in (
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "no-first-run",
        "use-fake-ui-for-media-stream",
        "use-fake-device-for-media-stream",
    )
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Iterator[object]:
    """Chromium with a webcam that shows the portrait; the tests skip where there is none."""
    chromium = os.environ.get("CROSSFER_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium: install Debian's package chromium, or name one in CROSSFER_CHROMIUM")
    buffer = BytesIO()
    Image.fromarray(astronaut[0:240, 60:380]).save(buffer, "JPEG", quality=95)
    webcam = tmp_path_factory.mktemp("webcam") / "face.mjpeg"
    webcam.write_bytes(buffer.getvalue() * 3)
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={webcam}"]
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, headless=True, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(model: Path) -> Iterator[httpx.Client]:
    with running(Service(model)) as client:
        yield client


class Watched:
    """What a page did besides showing: requests, messages, errors."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.complaints: list[str] = []


@pytest.fixture
def open_page(browser, site) -> Iterator[Callable]:
    """Opens the page in a context of its own; in the end no request went elsewhere and nothing failed."""
    watched, contexts = Watched(), []

    def open_(address: str | None = None, script: str = "", ready: str = READY, **options: object):
        context = browser.new_context(**{"viewport": {"width": 1240, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.watched = watched
        page.on("request", lambda request: watched.addresses.append(request.url))
        page.on("websocket", lambda socket: watched.addresses.append(socket.url))
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        page.on("console", lambda message: watched.complaints.append(message.text))
        if script:
            page.add_init_script(script)
        page.goto(address or str(site.base_url))
        page.wait_for_selector(ready, state="attached")
        return page

    yield open_
    for context in contexts:
        context.close()
    hosts = {re.sub(r"^\w+://([^/]+)/.*", r"\1", address) for address in watched.addresses}
    hosts = {host for host in hosts if not host.startswith(("blob:", "data:"))}
    assert len(hosts) == 1, hosts
    assert next(iter(hosts)).startswith("127.0.0.1:"), hosts
    known = ("Failed to load resource", "willReadFrequently", "WebSocket handshake")  # a test's own doing
    assert [text for text in watched.complaints if not any(word in text for word in known)] == []


def choose(page, image: bytes, name: str = "photo.png", kind: str = "image/png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": image})


def answered(page):
    page.wait_for_selector(".face")
    return page


def says(page, selector: str, text: str) -> None:
    """Waits until an element has a text."""
    page.locator(selector, has_text=text).first.wait_for(state="attached")


def alert(page) -> str:
    page.wait_for_selector("#alert:not([hidden])")
    return page.inner_text("#alert-text")


def test_a_photo_shows_what_the_recogniser_says(open_page, recognizer, photo):
    page = open_page()
    choose(page, photo)
    answered(page)
    (face,) = recognizer.recognize(photo)
    assert face.expression in page.inner_text(".face h3")
    rows = page.locator(".bars tr").all()
    names = [row.locator("button").inner_text() for row in rows]
    assert names == [name for name, _ in face.prediction.top(8)]
    shown = [row.locator("td").last.inner_text() for row in rows]
    assert shown == [percent(share).replace("%", " %") for _, share in face.prediction.top(8)]
    assert f"1 face: {face.expression}" in page.inner_text("#status")
    assert page.get_attribute("#status", "aria-live") == "polite"
    assert f"1 face: {face.expression}" in str(page.get_attribute("#photo", "alt"))
    assert painted(page), "nothing is drawn over the photo"
    assert page.inner_text("#model-line").startswith("tiny")


def painted(page) -> int:
    """How many pixels of the overlay are not transparent."""
    return page.evaluate(
        """() => {
        const canvas = document.getElementById("overlay");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return data.filter((value, index) => index % 4 === 3 && value > 0).length;
        }"""
    )


def test_the_box_lies_on_the_face(open_page, recognizer, photo):
    page = open_page()
    page.uncheck("#evidence")
    choose(page, photo)
    answered(page)
    (face,) = recognizer.recognize(photo)
    place = page.evaluate(
        """() => {
        const canvas = document.getElementById("overlay");
        const context = canvas.getContext("2d");
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        const at = (x, y) => data[4 * (y * canvas.width + x) + 3] > 0;
        let [left, right, bottom] = [canvas.width, 0, 0];
        for (let y = Math.round(canvas.height / 2); y < canvas.height; y += 1)
          for (let x = 0; x < canvas.width; x += 1)
            if (at(x, y)) { left = Math.min(left, x); right = Math.max(right, x); bottom = y; }
        return [left, right, bottom].map((value) => value / canvas.width * 160);
        }"""
    )
    expected = [face.box.x, face.box.x + face.box.width, face.box.y + face.box.height]
    assert place == pytest.approx(expected, abs=2.5)


def drawn(page, size: tuple[int, int], boxes: list, name: str = "happiness", chosen: int | None = None):
    """Outlines and labels in the order in which they are drawn over a picture of this size."""
    return page.evaluate(
        """async ([[width, height], boxes, name, chosen]) => {
        const { draw } = await import("/drawing.js");
        const context = new OffscreenCanvas(width, height).getContext("2d");
        const drawn = [];
        let rectangle;
        context.roundRect = (x, y, width, height) => { rectangle = { x, y, width, height }; };
        context.stroke = () => drawn.push({ ...rectangle, ground: context.strokeStyle });
        context.fill = () => drawn.push({ ...rectangle, ground: context.fillStyle });
        context.fillText = (text) => Object.assign(drawn.at(-1), { text, ink: context.fillStyle });
        const canvas = { getBoundingClientRect: () => ({ width, height }), getContext: () => context };
        const faces = boxes.map(([x, y, width, height]) =>
          ({ box: { x, y, width, height }, label: { name, share: "99.9 %" } }));
        draw(canvas, { width, height }, faces, { evidence: false, mirrored: false, chosen });
        return [drawn.filter((one) => !one.text), drawn.filter((one) => one.text), drawn];
        }""",
        [size, boxes, name, chosen],
    )


def overlap(a: dict, b: dict) -> bool:
    return all(
        a[at] < b[at] + b[length] and b[at] < a[at] + a[length]
        for at, length in (("x", "width"), ("y", "height"))
    )


CROWD = [[18 + 55 * column, 12 + 54 * row, 20, 24] for row in range(4) for column in range(5)]


@pytest.mark.parametrize(("size", "zoom", "named"), [((290, 216), 1, 0), ((720, 540), 2.5, 4)])
def test_no_label_in_a_group_hides_another_face_or_its_number(open_page, size, zoom, named):
    boxes = [[zoom * value for value in box] for box in CROWD]
    outlines, labels, everything = drawn(open_page(), size, boxes)
    assert everything == outlines + labels, "a box is drawn over a label"
    outlines.reverse()
    labels.reverse()
    assert [int(label["text"].split()[0]) for label in labels] == list(range(1, 21))
    assert sum("happiness 99.9 %" in label["text"] for label in labels) >= named
    for at, label in enumerate(labels):
        assert not [other["text"] for other in labels[:at] if overlap(label, other)], labels
        assert not any(overlap(label, box) for place, box in enumerate(outlines) if place != at)
        assert 0 <= label["x"] <= size[0] - label["width"]
        assert 0 <= label["y"] <= size[1] - label["height"]


def test_the_label_of_the_face_that_is_pointed_at_is_whole_and_on_top(open_page):
    outlines, labels, _ = drawn(open_page(), (290, 216), CROWD, chosen=7)
    assert labels[-1]["text"] == "8  happiness 99.9 %"
    assert outlines[-1]["x"] == CROWD[7][0]


@pytest.mark.parametrize(("width", "text"), [(290, r"1  a_l[a_long]*… 99\.9 %"), (60, "1")])
def test_a_label_too_long_for_the_picture_loses_the_end_of_the_name(open_page, width, text):
    for chosen in (None, 0):
        _, (label,), _ = drawn(open_page(), (width, 216), [[20, 90, 30, 40]], "a_long" * 20, chosen)
        assert re.fullmatch(text, label["text"])
        assert 0 <= label["x"] <= width - label["width"]


@pytest.mark.parametrize("size", [(330, 28), (740, 40)])
def test_labels_stay_inside_a_picture_that_is_shown_low(open_page, size):
    _, labels, _ = drawn(open_page(), size, [[30 * at, 9, 25, size[1] - 10] for at in range(10)])
    assert labels
    for label in labels:
        assert 0 <= label["y"] <= size[1] - label["height"]


def test_a_name_of_thousands_of_letters_is_cut_in_few_steps(open_page):
    page = open_page()
    page.evaluate(
        """() => {
        const measure = OffscreenCanvasRenderingContext2D.prototype.measureText;
        window.measured = 0;
        OffscreenCanvasRenderingContext2D.prototype.measureText = function (text) {
          window.measured += 1;
          return measure.call(this, text);
        };
        }"""
    )
    _, (label,), _ = drawn(page, (290, 216), [[20, 90, 30, 40]], "long" * 2000)
    assert re.fullmatch(r"1  [long]{5,}… 99\.9 %", label["text"])
    assert page.evaluate("window.measured") < 50


def contrast(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """As WCAG 2 defines it, of two colours of 0 to 255."""

    def luminance(color: tuple[int, ...]) -> float:
        shares = [value / 255 for value in color]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_labels_are_written_in_the_ink_that_is_read_best(open_page):
    _, labels, _ = drawn(open_page(), (1000, 216), [[10 + 130 * at, 90, 90, 90] for at in range(7)])
    for label in labels:
        ground, ink = (ImageColor.getrgb(label[key]) for key in ("ground", "ink"))
        assert contrast(ground, ink) == max(contrast(ground, one) for one in ((16, 20, 24), (255, 255, 255)))
        assert contrast(ground, ink) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_where_a_bar_ends_is_seen_whatever_its_colour(open_page, photo, scheme):
    page = open_page(color_scheme=scheme)
    choose(page, photo)
    answered(page)
    width, border, track = page.evaluate(
        """() => {
        const bar = getComputedStyle(document.querySelector(".first .bar"));
        const track = getComputedStyle(document.querySelector(".track"));
        return [bar.borderRightWidth, bar.borderRightColor, track.backgroundColor];
        }"""
    )
    assert width == "1px"
    assert contrast(ImageColor.getrgb(border), ImageColor.getrgb(track)) >= 3


@pytest.mark.parametrize("size", [(1000, 50), (100, 900), (30, 30)])
def test_a_picture_keeps_its_proportions_and_fits_the_window(open_page, size):
    page = open_page()
    choose(page, encoded(np.full((size[1], size[0], 3), 90, np.uint8)))
    says(page, "#status", "No face found")
    width, height = page.evaluate(
        "(({ width, height }) => [width, height])(document.querySelector('#overlay').getBoundingClientRect())"
    )
    assert width / height == pytest.approx(size[0] / size[1], rel=0.05)
    assert height <= 0.73 * 900


def test_evidence_can_be_switched_and_chosen_by_keyboard(open_page, photo):
    page = open_page()
    choose(page, photo)
    answered(page)
    before = painted(page)
    page.focus("#evidence")
    page.keyboard.press("Space")
    assert painted(page) < before
    button = page.locator(".bars button").nth(2)
    button.focus()
    page.keyboard.press("Enter")
    assert page.is_checked("#evidence")
    pressed = page.locator(".bars button[aria-pressed=true]")
    assert pressed.count() == 1
    name = pressed.get_attribute("data-expression")
    assert page.evaluate("document.activeElement.dataset.expression") == name, "the focus was lost"
    assert name in str(pressed.get_attribute("aria-label"))
    assert painted(page) > 0


def test_everything_is_reached_by_tab_in_the_order_of_the_page(open_page, photo):
    page = open_page()
    choose(page, photo)
    answered(page)
    page.evaluate("document.activeElement.blur()")
    page.mouse.click(5, 890)
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(({ id, className, tagName }) => id || className || tagName)(document.activeElement)"
            )
        )
        if page.evaluate("document.activeElement.closest('.face') !== null"):
            break
    assert reached[:4] == ["skip", "SUMMARY", "language", "choose"]
    assert {"camera", "evidence", "abstain", "coverage"} <= set(reached)
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"
    with page.expect_file_chooser():
        page.focus("#choose")
        page.keyboard.press("Enter")
    page.focus("summary")
    page.keyboard.press("Enter")
    assert page.locator("#model-facts").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#model-facts").is_visible()


def test_sets_and_uncertain(open_page, photo):
    page = open_page()
    choose(page, photo)
    answered(page)
    page.select_option("#coverage", "0.9")
    page.wait_for_selector(".set")
    assert "One of:" in page.inner_text(".set")
    assert "90 %" in page.inner_text(".set")
    page.check("#abstain")
    says(page, ".face h3", "uncertain")
    assert "perhaps" in page.inner_text(".face .note")
    assert "uncertain (perhaps" in page.inner_text("#status")


def test_a_set_keeps_what_it_promises_until_the_next_one_comes(open_page, photo):
    page = open_page(script=HELD)
    choose(page, photo)
    answered(page)
    page.select_option("#coverage", "0.8")
    page.wait_for_selector(".set")
    page.evaluate("hold()")
    page.select_option("#coverage", "0.95")
    page.wait_for_selector("#busy:not([hidden])")
    page.click("#language")
    assert "80 %" in page.inner_text(".set")
    page.evaluate("release()")
    says(page, ".set", "95 %")


HEARD = """
window.heard = [];
addEventListener("DOMContentLoaded", () => {
  const status = document.getElementById("status");
  new MutationObserver(() => window.heard.push(status.textContent)).observe(status, { childList: true });
});
"""  # what a screen reader is told of the status


def test_waiting_and_the_possible_expressions_are_read_out(open_page, photo):
    page = open_page(script=HELD + HEARD)
    page.evaluate("hold()")
    choose(page, photo)
    says(page, "#status", "Looking …")
    page.evaluate("release()")
    says(page, "#status", "1 face")
    assert "One of" not in page.inner_text("#status")
    for coverage in ("0.9", "0.95"):
        page.evaluate("window.heard = []")
        page.select_option("#coverage", coverage)
        says(page, ".set", coverage.removeprefix("0.").ljust(2, "0"))
        heard = page.evaluate("window.heard")
        names = ", ".join(page.locator(".set b").all_inner_texts())
        assert heard[0] == "Looking …"
        assert heard[-1].startswith("1 face")
        assert heard[-1].endswith(f". One of: {names}."), "the same set is read out again"
        assert page.get_attribute("#photo", "alt") == heard[-1]
    assert page.get_attribute("#busy", "aria-hidden") == "true", "said twice"


@pytest.mark.parametrize(("coverage", "shown"), [(0.9, "90 %"), (0.55, "55 %")])
def test_sets_that_the_service_gives_by_default_are_chosen_and_can_be_hidden(
    open_page, model, photo, coverage, shown
):
    with running(Service(model, coverage=coverage)) as client:
        page = open_page(str(client.base_url))
        says(page, "#coverage option:checked", shown)
        choose(page, photo)
        page.wait_for_selector(".set")
        assert f"holds the true one for {shown} of" in page.inner_text(".set")
        with page.expect_response("**/v1/recognize*"):
            page.select_option("#coverage", "")
        page.wait_for_selector("#busy", state="hidden")
        assert page.locator(".face").count() == 1
        assert page.locator(".set").count() == 0


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_photo_can_be_pasted_or_dropped(open_page, photo, way):
    page = open_page()
    page.evaluate(
        """([way, data]) => {
        const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "photo.png", { type: "image/png" }));
        const options = { bubbles: true, cancelable: true };
        document.body.dispatchEvent(way === "paste"
          ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
          : new DragEvent("drop", { ...options, dataTransfer: transfer }));
        }""",
        [way, base64.b64encode(photo).decode()],
    )
    answered(page)


def test_an_upright_photo_is_shown_and_boxed_upright(open_page, astronaut, model):
    """EXIF orientation means the same to the browser and to the service."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    wide = Image.fromarray(astronaut[20:180, 100:320])
    wide.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", exif=exif, quality=95)
    page = open_page()
    choose(page, buffer.getvalue(), "turned.jpg", "image/jpeg")
    answered(page)
    assert page.evaluate("[photo.naturalWidth, photo.naturalHeight]") == [220, 160]


def test_the_webcam_is_answered_frame_by_frame_and_can_be_stopped(open_page, photo):
    page = open_page()
    page.click("#camera")
    answered(page)
    says(page, "#rate", "frames/s")
    assert page.get_attribute("#camera", "aria-pressed") == "true"
    assert "1 face" in page.inner_text("#status")
    assert painted(page)
    page.select_option("#coverage", "0.9")
    page.wait_for_selector(".set")
    page.evaluate("window.track = video.srcObject.getTracks()[0]")
    page.click("#camera")
    assert page.evaluate("window.track.readyState") == "ended"
    assert page.locator(".face").count() == 0
    assert page.get_attribute("#camera", "aria-pressed") == "false"
    choose(page, photo)
    answered(page)
    assert any(address.startswith("ws://") for address in page.watched.addresses)


HIDDEN = """
Object.defineProperty(Document.prototype, "hidden", { get: () => window.covered ?? false });
window.cover = (covered) => {
  window.covered = covered;
  document.dispatchEvent(new Event("visibilitychange"));
};
"""  # a tab that is hidden while the test says so


def test_the_webcam_gives_its_place_free_while_the_tab_is_hidden_and_goes_on_after(open_page, model):
    with running(Service(model, limits=Limits(streams=1))) as client:
        page = open_page(str(client.base_url), script=HIDDEN)
        page.click("#camera")
        answered(page)
        page.evaluate("cover(true)")
        page.wait_for_timeout(1000)
        with connect(f"ws://{client.base_url.netloc.decode()}/v1/stream"):
            page.wait_for_timeout(300)
        assert page.locator("#alert").is_hidden()
        page.evaluate("rate.textContent = ''")
        page.evaluate("cover(false)")
        says(page, "#rate", "frames/s")
        assert page.locator("#alert").is_hidden()
        assert page.get_attribute("#camera", "aria-pressed") == "true"


def test_what_was_said_before_the_tab_was_hidden_is_still_said_after(open_page):
    page = open_page(script=HIDDEN)
    page.click("#camera")
    answered(page)
    choose(page, b"text", "notes.txt", "text/plain")
    assert "no image file" in alert(page)
    page.evaluate("cover(true)")
    page.evaluate("rate.textContent = ''")
    page.evaluate("cover(false)")
    says(page, "#rate", "frames/s")
    assert "no image file" in alert(page)
    page.select_option("#coverage", "0.9")
    page.wait_for_selector("#alert", state="hidden")


UNDER = "([x, y]) => document.elementFromPoint(x, y).closest('[data-expression]').dataset.expression"
PRESSED = ".bars button[aria-pressed=true]"


def test_expressions_are_chosen_by_mouse_and_space_while_the_webcam_is_answered(open_page):
    page = open_page()
    page.click("#camera")
    answered(page)
    says(page, "#rate", "frames/s")
    for row in range(8):
        box = page.locator(".bars button").nth(row).bounding_box()
        place = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*place)
        name = page.evaluate(UNDER, place)
        page.mouse.down()
        page.wait_for_timeout(90)
        page.mouse.up()
        assert page.get_attribute(PRESSED, "data-expression") == name
    page.mouse.move(0, 0)
    for row in range(4):
        button = page.locator(".bars button").nth(row)
        button.focus()
        name = button.get_attribute("data-expression")
        page.keyboard.down("Space")
        page.wait_for_timeout(90)
        page.keyboard.up("Space")
        assert page.get_attribute(PRESSED, "data-expression") == name
        assert page.evaluate("document.activeElement.dataset.expression") == name, "the focus was lost"


def test_the_webcam_does_not_pull_the_page_back_to_what_has_the_focus(open_page):
    page = open_page(viewport={"width": 500, "height": 400})
    page.click("#camera")
    answered(page)
    page.locator(".bars button").last.focus()
    assert page.evaluate("scrollY") > 0
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1000)
    assert page.evaluate("scrollY") == 0


def test_the_bars_of_the_webcam_are_ranked_unless_the_card_is_in_use(open_page):
    page = open_page()
    orders = page.evaluate(
        """async () => {
        const { Card } = await import("/cards.js");
        const card = new Card(0, { choose() {}, enter() {}, leave() {} });
        document.getElementById("faces").append(card.element);
        const shown = (fear, anger, live) => {
          const face = { expression: "fear", confidence: fear, probabilities: { fear, anger }, box: {} };
          card.update(face, { picture: {}, live, evidence: false, coverage: 0 });
          return [...card.element.querySelectorAll("button")].map((button) => button.dataset.expression);
        };
        const orders = [shown(0.6, 0.4, true), shown(0.4, 0.6, true)];
        card.element.querySelector("button").focus();
        orders.push(shown(0.6, 0.4, true), shown(0.6, 0.4, false));
        return orders;
        }"""
    )
    assert orders == [["fear", "anger"], ["anger", "fear"], ["anger", "fear"], ["fear", "anger"]]


UNREADABLE = """
const real = OffscreenCanvas.prototype.convertToBlob;
OffscreenCanvas.prototype.convertToBlob = function (options) {
  return window.damaged ? Promise.resolve(new Blob(["junk"])) : real.call(this, options);
};
"""  # frames that cannot be read while the test says so


def test_a_frame_that_is_refused_is_forgotten_when_frames_are_answered_again(open_page):
    page = open_page(script=UNREADABLE)
    page.click("#camera")
    answered(page)
    page.evaluate("window.damaged = true")
    assert "could not be read" in alert(page)
    page.evaluate("window.damaged = false")
    page.wait_for_selector("#alert", state="hidden")
    choose(page, b"text", "notes.txt", "text/plain")
    page.wait_for_timeout(500)
    assert "no image file" in alert(page), "what frames had nothing to do with was taken back"


def test_a_webcam_that_is_unplugged_is_noticed(open_page, photo):
    page = open_page()
    page.click("#camera")
    answered(page)
    page.evaluate("video.srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    assert "No webcam was found" in alert(page)
    assert page.get_attribute("#camera", "aria-pressed") == "false"
    assert page.evaluate("video.srcObject") is None
    assert page.locator(".face").count() == 0
    choose(page, photo)
    answered(page)


ASKED_FOR = """
const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
const permitted = new Promise((resolve) => { window.permit = resolve; });
window.tracks = [];
navigator.mediaDevices.getUserMedia = async (wanted) => {
  await permitted;
  const media = await real(wanted);
  window.tracks.push(...media.getTracks());
  return media;
};
"""  # the webcam comes when the test permits it


def ended(page, count: int) -> None:
    """Waits until the webcam was given so many times and is off each time."""
    page.wait_for_function(
        "count => tracks.length === count && tracks.every((track) => track.readyState === 'ended')",
        arg=count,
        timeout=5_000,
    )


def test_the_webcam_asked_for_twice_is_off_when_it_is_stopped(open_page):
    page = open_page(script=ASKED_FOR)
    page.click("#camera")
    page.click("#camera")
    page.evaluate("permit()")
    says(page, "#rate", "frames/s")
    page.click("#camera")
    ended(page, 2)


def test_a_photo_chosen_while_the_webcam_is_asked_for_stays(open_page, photo):
    page = open_page(script=ASKED_FOR)
    page.click("#camera")
    choose(page, photo)
    answered(page)
    page.evaluate("permit()")
    ended(page, 1)
    assert page.locator("#photo").is_visible()
    assert page.locator(".face").count() == 1
    assert page.get_attribute("#camera", "aria-pressed") == "false"


DECODED_LATER = """
const real = HTMLImageElement.prototype.decode;
const permitted = new Promise((resolve) => { window.permit = resolve; });
HTMLImageElement.prototype.decode = async function () {
  await permitted;
  return real.call(this);
};
"""  # a large photo, decoded when the test permits it


def test_the_webcam_started_while_a_photo_is_decoded_stays(open_page, photo):
    page = open_page(script=DECODED_LATER)
    choose(page, photo)
    page.click("#camera")
    says(page, "#rate", "frames/s")
    page.evaluate("permit()")
    page.wait_for_timeout(300)
    assert page.locator("#video").is_visible()
    assert page.locator("#photo").is_hidden()
    assert page.get_attribute("#camera", "aria-pressed") == "true"
    says(page, "#rate", "frames/s")


def test_options_change_while_the_webcam_has_the_only_place(open_page, model):
    with running(Service(model, limits=Limits(streams=1))) as client:
        page = open_page(str(client.base_url))
        page.click("#camera")
        answered(page)
        for _ in range(5):
            page.select_option("#coverage", "0.9")
            page.wait_for_selector(".set")
            page.select_option("#coverage", "")
            page.uncheck("#evidence")
            page.check("#evidence")
        page.click("#camera")
        page.click("#camera")
        says(page, "#rate", "frames/s")
        assert page.locator("#alert").is_hidden()


def test_a_webcam_whose_stream_cannot_be_opened_is_told_what_may_be_the_cause(open_page, model):
    with running(Service(model, limits=Limits(streams=1))) as client:
        page = open_page(str(client.base_url))
        with connect(f"ws://{client.base_url.netloc.decode()}/v1/stream"):
            page.click("#camera")
            message = alert(page)
        assert "all the streams that it takes" in message
        assert "a proxy in between passes no WebSockets" in message
        assert page.get_attribute("#camera", "aria-pressed") == "false"


class Renamed(Access):
    """Sees requests as they come through a proxy that asks for the service under another name."""

    def check(self, path: str, headers: Headers) -> None:
        super().check(path, Headers({**headers, "host": "localhost"}))


def test_a_webcam_whose_stream_is_refused_is_told_why(open_page, model):
    with running(Service(model, access=Renamed())) as client:
        page = open_page(str(client.base_url))
        page.click("#camera")
        assert "for one of another site" in alert(page)
        assert page.get_attribute("#camera", "aria-pressed") == "false"


REFUSED = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{}'))"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (REFUSED.format("NotAllowedError"), "not allowed to use the webcam"),
        (REFUSED.format("NotFoundError"), "No webcam was found"),
        ("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})", "https://"),
    ],
)
def test_without_a_webcam_it_says_why(open_page, script, message):
    page = open_page(script=script)
    page.click("#camera")
    assert message in alert(page)


def test_errors_are_said_and_leave_the_page_usable(open_page, photo):
    page = open_page()
    choose(page, b"junk")
    assert "could not be read" in alert(page)
    assert page.get_attribute("#alert", "role") == "alert"
    choose(page, b"text", "notes.txt", "text/plain")
    assert "no image file" in alert(page)
    page.focus("#dismiss")
    page.keyboard.press("Enter")
    assert page.locator("#alert").is_hidden()
    choose(page, photo)
    answered(page)
    assert page.locator("#alert").is_hidden()


HELD = """
const real = window.fetch;
window.hold = () => { window.held = new Promise((resolve) => { window.release = resolve; }); };
window.fetch = async (...given) => {
  await window.held;
  return real(...given);
};
"""  # requests that leave when the test releases them


def test_a_picture_that_the_browser_cannot_show_is_judged_by_the_service(open_page, photo, astronaut):
    page = open_page()
    whole = encoded(astronaut, "JPEG")
    unsized = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 1H8V8Z"/></svg>'
    for image, name, kind in (
        (whole[: len(whole) // 2], "cut.jpg", "image/jpeg"),
        (unsized, "unsized.svg", "image/svg+xml"),
    ):
        page.route("**/v1/recognize*", refusal(413, problem("too-large")))
        choose(page, photo)
        says(page, "#alert-text", "too large for this service")
        page.unroute("**/v1/recognize*")
        choose(page, image, name, kind)
        says(page, "#alert-text", "could not be read")
        assert page.locator("#photo").is_hidden()
        assert page.locator("#busy").is_hidden()


def test_the_answer_for_a_photo_goes_when_another_is_chosen(open_page, photo):
    page = open_page(script=HELD)
    choose(page, photo)
    answered(page)
    page.evaluate("hold()")
    choose(page, encoded(np.full((160, 160, 3), 90, np.uint8)))
    page.wait_for_selector("#busy:not([hidden])")
    assert page.locator(".face").count() == 0
    assert not painted(page), "the other photo's faces are drawn over this one"
    assert page.inner_text("#status") == "Looking …"
    assert page.get_attribute("#photo", "alt") == ""
    page.route("**/v1/recognize*", refusal(413, problem("too-large")))
    page.evaluate("release()")
    assert "too large for this service" in alert(page)
    assert page.get_attribute("#photo", "alt") == ""


FRAMELESS = "OffscreenCanvas.prototype.convertToBlob = () => new Promise(() => {});"


def test_the_answer_for_a_photo_goes_when_the_webcam_is_started(open_page, photo):
    page = open_page(script=FRAMELESS)
    choose(page, photo)
    answered(page)
    page.click("#camera")
    page.wait_for_selector("#camera[aria-pressed=true]")
    assert page.locator("#video").is_visible()
    assert page.locator(".face").count() == 0
    assert not painted(page), "the photo's faces are drawn over the webcam"
    assert page.inner_text("#status") == ""


def test_an_answer_that_comes_while_another_photo_is_decoded_is_not_taken_for_its_own(open_page, photo):
    page = open_page(script=HELD)
    page.evaluate("hold()")
    choose(page, photo)
    page.wait_for_selector("#busy:not([hidden])")
    page.evaluate("() => { HTMLImageElement.prototype.decode = () => new Promise(() => {}); }")
    choose(page, encoded(np.full((160, 160, 3), 90, np.uint8)))
    page.wait_for_timeout(300)
    page.evaluate("release()")
    page.wait_for_timeout(2000)
    assert page.locator(".face").count() == 0


def drop(page, path: Path) -> None:
    """Drops a file or folder of this machine onto the page, as the system does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def test_a_photo_without_a_suffix_is_taken_and_a_folder_is_not(open_page, photo, tmp_path):
    page = open_page()
    drop(page, tmp_path)
    assert "no image file" in alert(page)
    (tmp_path / "photo").write_bytes(photo)
    drop(page, tmp_path / "photo")
    answered(page)
    assert page.locator("#photo").is_visible()
    assert page.locator("#alert").is_hidden()


def problem(name: str) -> str:
    return json.dumps({"type": f"urn:crossfer:problem:{name}", "detail": "exactly what happened"})


def refusal(status: int, body: str) -> Callable:
    return lambda route: route.fulfill(status=status, body=body)


def test_what_the_service_refuses_is_said_in_words(open_page, photo):
    page = open_page()
    for status, name, message in (
        (413, "too-large", "too large for this service"),
        (503, "busy", "too much to do"),
        (503, "timeout", "took too long"),
        (500, "internal", "went wrong in the service"),
        (418, "something-new", "exactly what happened"),
    ):
        page.route("**/v1/recognize*", refusal(status, problem(name)))
        choose(page, photo)
        says(page, "#alert-text", message)
        page.unroute("**/v1/recognize*")
    page.route("**/v1/recognize*", lambda route: route.abort())
    choose(page, photo)
    says(page, "#alert-text", "does not answer")
    page.unroute("**/v1/recognize*")
    choose(page, photo)
    answered(page)
    assert page.locator("#alert").is_hidden()


@pytest.mark.parametrize("status", [200, 502])
def test_what_answers_in_place_of_the_service_is_told_apart_from_it(open_page, photo, status):
    page = open_page()
    page.route("**/v1/recognize*", refusal(status, "<!doctype html><title>Log in</title>"))
    choose(page, photo)
    assert "in place of the service" in alert(page)
    assert page.locator("#busy").is_hidden()


def test_no_face_is_said(open_page):
    page = open_page()
    choose(page, encoded(np.full((100, 100, 3), 90, np.uint8)))
    says(page, "#status", "No face found")


def use_token(page, photo) -> None:
    """Gives the token, then has a photo and the webcam answered."""
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    says(page, "#model-line", "tiny")
    choose(page, photo)
    answered(page)
    page.click("#camera")
    says(page, "#rate", "frames/s")


def test_a_token_is_asked_for_and_used_for_photos_and_the_webcam(open_page, model, photo):
    with running(Service(model, access=Access(TOKEN))) as client:
        page = open_page(str(client.base_url), ready="#token-dialog[open]")
        page.fill("#token", "wrong-wrong-wrong-wrong")
        page.keyboard.press("Enter")
        says(page, "#token-error", "not the token")
        use_token(page, photo)
        assert all(TOKEN not in address for address in page.watched.addresses)


@pytest.mark.parametrize("unsendable", [f"{TOKEN[:4]}\u200b{TOKEN[4:]}", "пароль-пароль-пароль", "two words"])
def test_a_token_that_cannot_be_one_is_refused_and_another_asked_for(open_page, model, unsendable):
    with running(Service(model, access=Access(TOKEN))) as client:
        page = open_page(str(client.base_url), ready="#token-dialog[open]")
        page.fill("#token", unsendable)
        page.keyboard.press("Enter")
        says(page, "#token-error", "not the token")
        assert page.locator("#token-dialog").is_visible()
        assert page.evaluate("sessionStorage.length") == 0
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        says(page, "#model-line", "tiny")


def test_who_leaves_the_question_for_the_token_is_told_so_and_asked_again(open_page, model, photo):
    service = Service(model, coverage=0.9, abstain=True, access=Access(TOKEN))
    with running(service) as client:
        page = open_page(str(client.base_url), ready="#token-dialog[open]")
        page.keyboard.press("Escape")
        assert "only with its token" in alert(page)
        choose(page, photo)
        page.wait_for_selector("#token-dialog[open]")
        page.keyboard.press("Escape")
        assert "only with its token" in alert(page)
        assert page.locator("#photo").is_visible()
        assert page.inner_text("#status") == ""
        page.click("#camera")
        page.wait_for_selector("#token-dialog[open]")
        page.keyboard.press("Escape")
        choose(page, photo)
        page.wait_for_selector("#token-dialog[open]")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        answered(page)
        assert page.locator("#alert").is_hidden()
        assert page.inner_text("#model-line").startswith("tiny")
        assert page.is_checked("#abstain")
        assert page.input_value("#coverage") == "0.9"
        assert "uncertain" in page.inner_text(".face h3")
        assert "90 %" in page.inner_text(".set")


SILENT = """
const real = window.fetch;
window.fetch = () => Promise.reject(new TypeError("Failed to fetch"));
window.appear = () => { window.fetch = real; };
"""  # a service that answers only from when the test lets it appear


@pytest.mark.parametrize("way", ["photo", "webcam"])
def test_a_service_that_did_not_answer_at_first_is_asked_again(open_page, model, photo, way):
    with running(Service(model, coverage=0.9, abstain=True)) as client:
        page = open_page(str(client.base_url), script=SILENT, ready="#alert:not([hidden])")
        assert page.is_disabled("#abstain")
        page.evaluate("appear()")
        if way == "photo":
            choose(page, photo)
        else:
            page.click("#camera")
        answered(page)
        assert page.locator("#alert").is_hidden()
        assert page.inner_text("#model-line").startswith("tiny")
        assert page.is_checked("#abstain")
        assert "uncertain" in page.inner_text(".face h3")
        assert "90 %" in page.inner_text(".set")


FORBIDDEN = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
"""  # as where a browser is told to keep nothing of sites


def test_a_browser_that_keeps_nothing_of_sites_shows_the_page_and_takes_a_token(open_page, model, photo):
    with running(Service(model, access=Access(TOKEN))) as client:
        use_token(open_page(str(client.base_url), script=FORBIDDEN, ready="#token-dialog[open]"), photo)


OUTSIDE = """() => [...document.querySelectorAll("button, select, label, td, h3, p, canvas, dd")]
    .filter((element) => element.offsetParent && !element.matches(".skip"))
    .filter((element) => { const box = element.getBoundingClientRect();
                           return box.right > innerWidth + 1 || box.left < -1; })
    .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_on_a_narrow_screen_nothing_is_cut_off(open_page, photo, locale):
    page = open_page(viewport={"width": 320, "height": 800}, locale=locale)
    choose(page, photo)
    answered(page)
    page.select_option("#coverage", "0.9")
    page.wait_for_selector(".set")
    page.click("summary")
    for width in (320, 390, 768, 1024):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUTSIDE) == []


LONG_NAMES = (
    "a_long_class_name_without_any_spaces_that_goes_on_and_on", "pleasantly_surprised",
    "pleasantly surprised by good news", "calm", "sad", "angry", "afraid", "disdainful",
)  # fmt: skip


def test_long_names_of_classes_leave_room_for_the_bars(open_page, photo, tmp_path):
    meta = dataclasses.replace(
        tiny_meta(), label_set="custom", labels=LONG_NAMES, name="model" * 20, calibration=calibration()
    )
    own = write_bundle(tmp_path / "own.onnx", tiny_graph(meta), meta.to_json())
    with running(Service(own, coverage=0.9)) as client:
        page = open_page(str(client.base_url))
        choose(page, photo)
        page.wait_for_selector(".set")
        page.evaluate(
            """(name) => {
            for (const element of document.querySelectorAll(".face h3 span:nth-child(2), .set b, #status"))
              element.textContent = name;
            }""",
            LONG_NAMES[0],
        )
        for width in (1240, 1024, 320):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(OUTSIDE) == []
            assert page.evaluate(PLACE, ".track")["width"] >= 60


@pytest.fixture(scope="module")
def group(astronaut: np.ndarray) -> bytes:
    """A PNG file of 640 x 480 pixels with twelve faces."""
    return encoded(np.tile(astronaut[20:180, 140:300], (3, 4, 1)))


@pytest.mark.parametrize("size", [(1366, 620), (1093, 500), (900, 480), (1280, 450), (821, 500)])
def test_the_options_of_a_group_can_be_reached_in_a_short_window(open_page, group, size):
    page = open_page(viewport={"width": size[0], "height": size[1]})
    choose(page, group)
    answered(page)
    assert page.locator(".face").count() == 12
    page.focus("#abstain")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "coverage"
    page.wait_for_timeout(100)
    assert page.evaluate(PLACE, "#coverage")["top"] >= 0
    assert page.evaluate(PLACE, "#coverage")["bottom"] <= size[1]
    page.evaluate("document.querySelector('#key').scrollIntoView({ block: 'end' })")
    assert page.evaluate(PLACE, "#key")["bottom"] <= size[1] + 1


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray) -> bytes:
    """A PNG file of the whole portrait, 512 x 512 pixels."""
    return encoded(astronaut)


PLACE = "(selector) => document.querySelector(selector).getBoundingClientRect().toJSON()"


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("size", [(320, 640), (360, 740), (390, 844), (768, 1024)])
def test_on_a_phone_the_faces_are_on_the_screen_beside_their_photo(open_page, portrait, size, locale):
    viewport = {"width": size[0], "height": size[1]}
    page = open_page(viewport=viewport, locale=locale, has_touch=True, is_mobile=True)
    choose(page, portrait)
    answered(page)
    photo, card, tools = (page.evaluate(PLACE, selector) for selector in ("#photo", ".face", ".tools"))
    assert photo["top"] >= 0
    assert photo["bottom"] < card["top"] < tools["top"] - 100, "not much of the face is to be seen"
    assert tools["bottom"] <= size[1]
    page.locator(".bars button").last.focus()
    reached = page.evaluate(PLACE, ".bars tr:last-child button")
    assert reached["bottom"] <= page.evaluate(PLACE, ".tools")["top"], "the focus lies under the buttons"


def test_on_a_phone_what_went_wrong_is_scrolled_to(open_page, portrait):
    script = REFUSED.format("NotAllowedError")
    size = {"width": 375, "height": 667}
    page = open_page(script=script, viewport=size, has_touch=True, is_mobile=True)
    choose(page, portrait)
    answered(page)
    for _ in range(2):
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.click("#camera")
        assert "not allowed to use the webcam" in alert(page)
        page.wait_for_timeout(300)
        assert page.evaluate(PLACE, "#alert")["top"] >= 0
        assert page.evaluate(PLACE, "#alert")["bottom"] <= page.evaluate(PLACE, ".tools")["top"]


@pytest.mark.parametrize("size", [(320, 640), (360, 740), (390, 844), (844, 390), (1024, 768)])
def test_bars_are_long_enough_to_be_compared(open_page, photo, size):
    page = open_page(viewport={"width": size[0], "height": size[1]})
    choose(page, photo)
    answered(page)
    assert page.evaluate(PLACE, ".track")["width"] >= 60


def test_the_order_of_tab_is_that_of_the_eyes_when_the_page_gets_narrow(open_page, photo):
    page = open_page()
    choose(page, photo)
    answered(page)
    page.focus("#abstain")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_selector("#results + #controls")
    assert page.evaluate("document.activeElement.id") == "abstain", "the focus was lost"
    page.locator(".bars button").last.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    page.set_viewport_size({"width": 1240, "height": 900})
    page.wait_for_selector("#drop + #controls")
    assert page.evaluate("document.activeElement.id") == "choose"


@pytest.mark.parametrize("way", ["click", "Enter", "Space"])
def test_the_empty_picture_opens_the_file_chooser(open_page, photo, way):
    page = open_page()
    invitation = page.get_by_role("button", name="click to choose")
    with page.expect_file_chooser() as opened:
        if way == "click":
            page.locator("#drop").click(position={"x": 12, "y": 12})
        else:
            page.evaluate("language.focus()")
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.id") == invitation.get_attribute("id")
            page.keyboard.press(way)
    opened.value.set_files({"name": "photo.png", "mimeType": "image/png", "buffer": photo})
    answered(page)
    assert page.evaluate("document.activeElement.id") == "choose", "the focus was lost"
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser.page))
    page.click("#photo")
    page.locator(".bars button").nth(1).click()
    page.wait_for_timeout(200)
    assert choosers == []


@pytest.mark.parametrize(
    ("locale", "words"), [("en-GB", "Tap to choose a photo"), ("zh-CN", "点按此处选择照片")]
)
def test_a_touch_screen_is_told_to_tap(open_page, locale, words):
    size = {"width": 390, "height": 844}
    page = open_page(viewport=size, locale=locale, has_touch=True, is_mobile=True)
    assert page.inner_text("#invite").strip() == words
    with page.expect_file_chooser():
        page.get_by_role("button", name=words).tap()


def test_the_language_follows_the_browser_can_be_switched_and_is_remembered(open_page, recognizer, photo):
    (face,) = recognizer.recognize(photo)
    page = open_page(locale="zh-CN")
    assert page.get_attribute("html", "lang") == "zh-Hans"
    choose(page, photo)
    answered(page)
    assert EXPRESSIONS_ZH[face.expression] in page.inner_text(".face h3")
    page.click("#language")
    assert face.expression in page.inner_text(".face h3")
    assert page.get_attribute("html", "lang") == "en"
    page.reload()
    says(page, "#choose", "Choose a photo")
    assert open_page(locale="fr-FR").inner_text("#choose") == "Choose a photo"


def test_every_word_is_there_in_both_languages(open_page):
    page = open_page()
    for language in ("en", "zh"):
        missing = page.evaluate(
            """async () => {
            const { say } = await import("/words.js");
            return [...document.querySelectorAll("[data-text], [data-label]")]
              .map((element) => element.dataset.text ?? element.dataset.label).filter((key) => !say(key));
            }"""
        )
        assert missing == [], language
        if language == "en":
            page.click("#language")
    english, chinese = map(keys, ("ENGLISH", "CHINESE"))
    assert english == chinese


def keys(language: str) -> set[str]:
    """What there are words for."""
    source = (Path(__file__).parents[2] / "src/crossfer/serve/page/words.js").read_text("utf-8")
    words = source.split(f"const {language} = {{")[1].split("\n};")[0]
    return set(re.findall(r'^  "?([\w-]+)"?: "', words, re.MULTILINE))


def test_there_are_words_for_every_problem_of_the_service():
    assert PROBLEMS.keys() - keys("ENGLISH") == set()


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "zh-CN")])
def test_no_rule_of_accessibility_is_broken(open_page, photo, scheme, locale):
    """axe-core looks for missing names, wrong roles, weak contrast and the like."""
    page = open_page(color_scheme=scheme, locale=locale)
    choose(page, photo)
    answered(page)
    page.select_option("#coverage", "0.9")
    page.wait_for_selector(".set")
    page.click("summary")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken_on_an_empty_phone(open_page, scheme):
    size = {"width": 390, "height": 844}
    found = axe.Axe().run(open_page(viewport=size, color_scheme=scheme, has_touch=True, is_mobile=True))
    assert found.violations_count == 0, found.generate_report()


def pixel(page, selector: str, across: float, down: float = 0.5) -> tuple[int, ...]:
    """The colour of an element at a place, in shares of its width and height."""
    taken = Image.open(BytesIO(page.locator(selector).first.screenshot())).convert("RGB")
    return taken.getpixel((int(across * taken.width), int(down * taken.height)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bars_and_colours_that_mean_something_are_left_in_forced_colours(open_page, photo, scheme):
    page = open_page(forced_colors="active", color_scheme=scheme, reduced_motion="reduce")
    choose(page, photo)
    answered(page)
    page.evaluate("for (const bar of document.querySelectorAll('.bar')) bar.style.width = '50%'")
    for row in (".first", "tr:nth-child(2)"):
        bar, rest, edge = (pixel(page, f"{row} .track", across) for across in (0.25, 0.75, 0.999))
        assert contrast(bar, rest) >= 3
        assert contrast(edge, rest) >= 3, "the track has no end"
    pressed, other = (f".bars button[aria-pressed={pressed}]" for pressed in ("true", "false"))
    assert contrast(pixel(page, pressed, 0.97), pixel(page, other, 0.97)) >= 3
    assert pixel(page, ".swatch.for", 0.5) == (255, 150, 0)
    assert pixel(page, ".swatch.against", 0.5) == (20, 90, 255)


def test_the_policy_forbids_every_address_but_its_own(site):
    policy = site.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"unsafe|https?:|\*", policy)
    for name in ("page.js", "style.css", "words.js", "drawing.js", "service.js", "cards.js", "icon.svg"):
        response = site.get(f"/{name}")
        assert response.status_code == 200
        assert not re.search(r"(https?:)?//(?!www\.w3\.org/2000/svg)[a-z]+\.[a-z]", response.text)
        again = site.get(f"/{name}", headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_page_shows_the_accuracy_of_the_embedded_model(browser):
    scored = json.loads((files("crossfer.models") / "base.json").read_text("utf-8"))
    with running(Service()) as client:
        page = browser.new_page()
        page.goto(str(client.base_url))
        says(page, "#model-line", f"{100 * scored['accuracy']:.1f} %")
        page.click("summary")
        assert "n = 3,152" in page.inner_text("#model-facts")
        page.close()
