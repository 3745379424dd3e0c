"""The noise level of every timestep."""

import numpy as np
import pytest
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from vidconcept.models.flow import FlowSchedule


class TestSchedule:
    """σ of every timestep against the scheduler's own table."""

    @staticmethod
    def ours(scheduler, tokens: int = 0) -> np.ndarray:
        schedule = FlowSchedule.model_validate(dict(scheduler.config))
        return np.array([schedule.sigma(t, tokens) for t in range(1, 1000)])

    @pytest.mark.parametrize("shift", [1.0, 3.0, 7.0])
    def test_constant_shift(self, shift):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(sigmas=np.arange(1, 1000)[::-1] / 1000)
        np.testing.assert_allclose(self.ours(scheduler), scheduler.sigmas.numpy()[:-1][::-1], rtol=1e-5)

    @pytest.mark.parametrize("kind", ["exponential", "linear"])
    def test_shift_by_the_number_of_tokens(self, kind):
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
        slope = (1.15 - 0.5) / (4096 - 256)
        scheduler.set_timesteps(sigmas=np.arange(1, 1000)[::-1] / 1000, mu=0.5 + slope * (1024 - 256))
        np.testing.assert_allclose(self.ours(scheduler, 1024), scheduler.sigmas.numpy()[:-1][::-1], rtol=1e-5)

    def test_end_of_the_schedule(self):
        scheduler = FlowMatchEulerDiscreteScheduler(shift_terminal=0.1)
        scheduler.set_timesteps(sigmas=np.arange(1, 1001)[::-1] / 1000)
        np.testing.assert_allclose(self.ours(scheduler)[1:], scheduler.sigmas.numpy()[:-2][::-1][1:], atol=2e-3)

    def test_counted_from_the_noise(self):
        scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
        scheduler.set_timesteps(sigmas=np.arange(1, 1000)[::-1] / 1000)
        schedule = FlowSchedule.model_validate(dict(scheduler.config))
        times = [schedule.time(schedule.sigma(t, 0)) for t in range(1, 1000)]
        np.testing.assert_allclose(times, scheduler.timesteps.numpy()[::-1], rtol=1e-4, atol=1e-3)

    def test_unipc_under_its_own_name(self):
        scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
        scheduler.set_timesteps(10)
        schedule = FlowSchedule.model_validate(dict(scheduler.config))
        for sigma in scheduler.sigmas[1:-1]:
            plain = float(sigma) / (5 - 4 * float(sigma))
            assert schedule.sigma(round(1000 * plain), 0) == pytest.approx(float(sigma), abs=2e-3)
