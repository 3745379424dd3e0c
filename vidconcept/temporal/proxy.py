"""Frames reduced for motion: small, grey, and of fine or coarser structure alone."""

from dataclasses import dataclass, field

import cv2
import numpy as np

# The proxy has at most this many pixels: half resolution of 256×384 has 24,576 of them.
PROXY_AREA_PX = 40_000
# Bands that frames are compared in, proxy pixels: sigma of what is smoothed away, side of the mean that is subtracted.
# In the coarser ones a tenth and a twentieth is left of the noise of single pixels.
FINE_BAND = (0.7, 17)
COARSER_BANDS = ((3.0, 17), (6.0, 33))


@dataclass(frozen=True, slots=True)
class Proxy:
    """A frame reduced for motion.

    grey: `(h, w)` float32. band: its high-pass, in grey levels. core: the band with NaN near the border, where the
    high-pass depends on what the frame does not show.
    """

    grey: np.ndarray = field(repr=False)
    band: np.ndarray = field(repr=False)
    core: np.ndarray = field(repr=False)


def make_proxy(image: np.ndarray) -> Proxy:
    """Reduce a frame `(h, w, 3)` uint8 RGB for motion estimation."""
    h, w = image.shape[:2]
    scale = min(1.0, max(min(0.5, (PROXY_AREA_PX / (h * w)) ** 0.5), 16 / min(h, w)))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.float32)
    band = _filter_band(grey, *FINE_BAND)
    core, margin = band.copy(), min(8, min(size) // 8)
    core[:margin] = core[size[1] - margin :] = np.nan
    core[:, :margin] = core[:, size[0] - margin :] = np.nan
    return Proxy(grey, band, core)


def match_contrast(*pair: Proxy) -> tuple[Proxy, Proxy]:
    """One contrast for the pair, so that limits in grey levels mean the same on dull and on glossy parts."""
    scale = 16.0 / max(float(pair[1].band.std()), 4.0)
    earlier, later = (Proxy(p.grey, p.band * scale, p.core * scale) for p in pair)
    return earlier, later


def smooth(proxy: Proxy, band: tuple[float, int]) -> Proxy:
    """The proxy with a band of coarser structure, one of `COARSER_BANDS`."""
    filtered = _filter_band(proxy.grey, *band)
    return Proxy(proxy.grey, filtered, np.where(np.isnan(proxy.core), np.float32("nan"), filtered))


def _filter_band(grey: np.ndarray, sigma_px: float, box_px: int) -> np.ndarray:
    around = cv2.blur(grey, (box_px, box_px), borderType=cv2.BORDER_REFLECT_101)
    return cv2.GaussianBlur(grey, (0, 0), sigma_px) - around
