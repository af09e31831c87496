"""Takes the pictures of the page in docs/serve.md with a real browser and the NASA portrait.

python docs/draw_page.py [/usr/bin/chromium]
"""

from __future__ import annotations

import sys
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from crossfer.bench.photo import sample_portrait
from crossfer.serve.app import create_app
from crossfer.serve.server import address, bind, configure
from crossfer.serve.service import Service

IMAGES = Path(__file__).parent / "images"
QUALITY = 90
CONTEXTS: dict[str, dict[str, Any]] = {  # of the browser, for each picture
    "page": {"viewport": {"width": 1240, "height": 840}},
    "page-narrow": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "locale": "zh-CN"},
}


def save(page: Page, name: str) -> None:
    """A screenshot, small enough to load quickly."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    taken = Image.open(BytesIO(page.screenshot())).convert("RGB")
    taken.save(IMAGES / f"{name}.webp", quality=QUALITY, method=6)


def main(chromium: str = "/usr/bin/chromium") -> None:
    """Draws into docs/images."""
    service = Service()
    with bind("127.0.0.1", 0) as listening, sync_playwright() as playwright:
        server = uvicorn.Server(configure(create_app(service), service))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        for name, options in CONTEXTS.items():
            page = browser.new_context(**options).new_page()
            page.goto(address(listening))
            page.select_option("#coverage", "0.95")
            page.set_input_files("#file", sample_portrait())
            page.wait_for_selector(".set")
            save(page, name)
        browser.close()
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
