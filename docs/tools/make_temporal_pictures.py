"""Draw the pictures of docs/explanation/time.md, from generated footage."""

from pathlib import Path

import cv2
import numpy as np

from linecam.footage.camera import Motion
from linecam.footage.clips import HELD_OUT_SEED, clip
from vidconcept.temporal.smooth import smooth
from vidconcept.tracks.masks import MaskSettings, decide
from vidconcept.types import LatentMaps, Origin

OUT = Path(__file__).parents[1] / "images"
PITCH, STEP, FRAMES = 16, 4, 49
SEED = HELD_OUT_SEED + 26


def pool_tokens(masks: np.ndarray) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Spans of the latent steps and what an ideal, noisy model says of them, `(t_lat, row, col)`."""
    n, h, w = masks.shape
    area = masks.reshape(n, h // PITCH, PITCH, w // PITCH, PITCH).mean((2, 4))
    spans = [(0, 0), *((k, min(k + STEP, n) - 1) for k in range(1, n, STEP))]
    tokens = np.clip(np.stack([area[a : b + 1].mean(0) for a, b in spans]), 0.01, 0.99)
    noise = np.random.default_rng(1).normal(0, 0.7, tokens.shape)
    return spans, (1 / (1 + np.exp(-(np.log(tokens / (1 - tokens)) + noise)))).astype(np.float32)


def draw_heat(image: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Scores `(h, w)` in [0, 1] as a glow over the frame."""
    strength = np.clip(scores * 1.6, 0, 1)[..., None]
    colour = cv2.cvtColor(cv2.applyColorMap((strength[..., 0] * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), 4)
    return (image * (1 - 0.75 * strength) + colour * 0.75 * strength).astype(np.uint8)


def draw_outlines(image: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A frame with the true outline in green and the found one in red."""
    out = image.copy()
    for shape, colour in ((truth, (60, 200, 90)), (mask, (230, 60, 50))):
        contours, _ = cv2.findContours(shape.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, contours, -1, colour, 1)
    return out


def add_label(image: np.ndarray, text: str) -> np.ndarray:
    """The picture under a line of text."""
    bar = np.full((22, image.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (20, 20, 20), 1, cv2.LINE_AA)
    return np.vstack([bar, image, np.full((6, image.shape[1], 3), 255, np.uint8)])


def write(name: str, rows: list[list[np.ndarray]]) -> None:
    """Rows of pictures of one size, as JPEG."""
    gap = np.full((rows[0][0].shape[0], 6, 3), 255, np.uint8)
    sheet = np.vstack([np.hstack([p for picture in row for p in (picture, gap)][:-1]) for row in rows])
    OUT.mkdir(exist_ok=True)
    cv2.imwrite(str(OUT / name), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 84])


def main() -> None:
    """Write every picture."""
    made = clip(SEED, (256, 384), FRAMES, motion=Motion(5.0), defects=2.0, kinds=["crack", "scratch"])
    truth = made.instances > 0
    spans, tokens = pool_tokens(truth)
    latents = [LatentMaps(Origin(k, 0), a, b, tokens[k][None]) for k, (a, b) in enumerate(spans)]
    best = int(truth[20:36].sum((1, 2)).argmax()) + 20
    images, token = made.frames, tokens[-(-best // STEP)]
    found = {m: [f.scores[0] for f in smooth(latents, images, method=m)] for m in ("linear", "flow", "energy")}
    plain, local = MaskSettings(0.3, 0.3, 1.0), MaskSettings(0.15, 0.5, 0.2)

    blocks = cv2.resize(token, (384, 256), interpolation=cv2.INTER_NEAREST)
    write(
        "temporal_steps.jpg",
        [
            [
                add_label(images[best], "frame"),
                add_label(draw_heat(images[best], blocks), "tokens: 16 px, four frames, noise"),
                add_label(draw_heat(images[best], found["linear"][best]), "linear in time, bilinear in space"),
            ],
            [
                add_label(draw_heat(images[best], found["flow"][best]), "mean of the tokens along the motion"),
                add_label(draw_heat(images[best], found["energy"][best]), "key-frame energy and guided filter"),
                add_label(
                    draw_outlines(images[best], decide(found["energy"][best], settings=local), truth[best]),
                    "mask (red) and truth (green)",
                ),
            ],
        ],
    )
    rows = []
    for method, decision in (("linear", plain), ("energy", local)):
        picks = range(best - 4, best + 5, 4)
        masks = {t: decide(found[method][t], settings=decision) for t in picks}
        rows.append([add_label(draw_outlines(images[t], masks[t], truth[t]), f"{method}, frame {t}") for t in picks])
    write("temporal_frames.jpg", rows)


if __name__ == "__main__":
    main()
