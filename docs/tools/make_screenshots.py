"""The pictures of the README: the review page, light and dark, and two frames of each view.

    python docs/tools/make_screenshots.py RUN [--video FILE] [--out docs/images]

RUN: a finished run. It is copied, and the copy drawn again in each view from its kept maps; no model is needed.
Needs playwright and a Chromium (`apt-get install chromium`).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser, sync_playwright

from vidconcept.types import Event
from vidconcept.video.reader import read_frames
from vidconcept.writers.review.page import write_review
from vidconcept.writers.tables import read_events

VIEWS = ("heatmap", "side-by-side", "grid", "overlay")
FRAMES_PER_VIEW = 2
WIDTH_PX = 960


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--video", type=Path, help="the run's video, where it has moved")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "images")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((options.run / "run.json").read_text(encoding="utf-8"))
    video = options.video or Path(manifest["video"]["path"])
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "run"
        shutil.copytree(options.run, copy)
        for view in VIEWS:
            redraw(video, manifest["concepts"], copy, view)
            save_frames(copy, view, options.out)
        write_review(copy)
        save_pages(copy, options.out)


def redraw(video: Path, concepts: list[str], run: Path, view: str) -> None:
    """Draws the run's `annotated.mp4` again in another view, by the command that a user has."""
    vidconcept = str(Path(sys.executable).with_name("vidconcept"))
    command = [vidconcept, "track", str(video), "--concepts", ",".join(concepts)]
    subprocess.run([*command, "--out", str(run), "--existing", "resume", "--view", view], check=True)


def save_frames(run: Path, view: str, out: Path) -> None:
    """The peak frames of the strongest events."""
    wanted = [event.peak_frame for event in pick_strongest(run)]
    number = 0
    for frame in read_frames(run / "annotated.mp4", on_problem=print):
        if frame.index in wanted:
            number += 1
            save(frame.image, out / f"{view}-{number}.jpg")


def pick_strongest(run: Path) -> list[Event]:
    """One event a concept, the highest score first."""
    best: dict[str, Event] = {}
    for event in sorted(read_events(run / "events.csv"), key=lambda e: -e.peak_score):
        best.setdefault(event.concept, event)
    return list(best.values())[:FRAMES_PER_VIEW]


def save(image: np.ndarray, path: Path) -> None:
    """JPEG of at most WIDTH_PX, so that a README loads."""
    scale = min(1.0, WIDTH_PX / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(path)


def save_pages(run: Path, out: Path) -> None:
    """The review page in both themes, at its second event with one verdict given."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as session:
        browser = session.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            save_page(browser, run, scheme, out / f"review-{scheme}.jpg")
        browser.close()


def save_page(browser: Browser, run: Path, scheme: str, path: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme=scheme)  # pyright: ignore
    page = context.new_page()
    page.goto((run / "review.html").resolve().as_uri())
    page.keyboard.press("n")
    page.keyboard.press("a")
    page.keyboard.press("n")
    for _ in range(12):
        page.keyboard.press(".")
    page.wait_for_timeout(1500)
    page.screenshot(path=path, type="jpeg", quality=88)
    print(path)
    context.close()


if __name__ == "__main__":
    main()
