"""Reach and weights of the temporal stage."""

from dataclasses import dataclass, field

from vidconcept.temporal.regularize import EnergySettings
from vidconcept.temporal.unpool import GuideSettings


@dataclass(frozen=True, slots=True)
class SmoothSettings:
    """Reach and weights of the temporal stage."""

    # Latent steps that are looked at before and after the present one; the stage lags by the second.
    past_steps: int = 8
    ahead_steps: int = 4
    # Weight of a new latent step in `ema`; standard deviation of `gaussian` in latent steps.
    ema_weight: float = 0.5
    gaussian_steps: float = 1.0
    energy: EnergySettings = field(default_factory=EnergySettings)
    guide: GuideSettings = field(default_factory=GuideSettings)
