"""Noise levels of flow-matching models: how a timestep becomes a share of noise, with the model's own shift."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Shift = Annotated[float, Field(gt=0, le=1000)]


class FlowSchedule(BaseModel):
    """`scheduler_config.json` of a flow-matching model, as far as it says how noise is added.

    shift, flow_shift: the constant s of σ' = sσ / (1 + (s − 1)σ), under the names of two schedulers. The rest is of
    shifts that grow with the number of video tokens (arXiv 2403.03206, section 5.3.2).
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    num_train_timesteps: Annotated[int, Field(ge=1, le=100_000)] = 1000
    shift: Shift = 1.0
    flow_shift: Shift | None = None
    use_dynamic_shifting: bool = False
    base_shift: float = 0.5
    max_shift: float = 1.15
    base_image_seq_len: Annotated[int, Field(ge=1)] = 256
    max_image_seq_len: Annotated[int, Field(ge=1)] = 4096
    shift_terminal: Annotated[float, Field(ge=0, lt=1)] | None = None
    invert_sigmas: bool = False
    time_shift_type: Literal["exponential", "linear"] = "exponential"

    def sigma(self, timestep: int, tokens: int, mu: float | None = None) -> float:
        """The share of noise σ in x_t = (1 − σ)x₀ + σε at a timestep of 0 to 999, before the model's shift.

        tokens: of the video. mu: of a dynamic shift where the family computes it in a way of its own.
        """
        sigma = timestep / 1000
        if sigma == 0:
            return 0.0
        if self.use_dynamic_shifting:
            mu = self._mu(tokens) if mu is None else mu
            factor = math.exp(mu) if self.time_shift_type == "exponential" else mu
            sigma = factor / (factor + 1 / sigma - 1)
        else:
            shift = self.flow_shift or self.shift
            sigma = shift * sigma / (1 + (shift - 1) * sigma)
        # The schedule is stretched so that it ends at this level, not at 0.
        return 1 - (1 - sigma) * (1 - (self.shift_terminal or 0))

    def time(self, sigma: float) -> float:
        """What the model is told of a share of noise: 0 to `num_train_timesteps`; Mochi counts from the noise."""
        return (1 - sigma if self.invert_sigmas else sigma) * self.num_train_timesteps

    def _mu(self, tokens: int) -> float:
        """Linear between a shift for few tokens and one for many."""
        slope = (self.max_shift - self.base_shift) / max(self.max_image_seq_len - self.base_image_seq_len, 1)
        return self.base_shift + slope * (tokens - self.base_image_seq_len)
