"""What a calibration says of itself, as far as the release of a line asks for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from vidconcept.files import validate
from vidconcept.setting_layers import read_config_file


def _take_for_utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class Provenance(BaseModel):
    """The table `[provenance]` of a calibration; None is what it does not say. A time without a zone is UTC.

    file: name of the calibration. per_hour_95: bounds of the false alarms per hour.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    file: str
    kind: str = ""
    created: Annotated[datetime, AfterValidator(_take_for_utc)] | None = None
    weights: str | None = None
    per_hour_95: tuple[float, float] | None = None
    target_per_hour: float | None = None


def read_provenance(config: Path) -> Provenance | None:
    """None where settings say nothing of where they come from. Raises as `read_config_file`, and InputError for values
    of another kind.
    """
    table = read_config_file(config).provenance
    return validate(Provenance, {**table, "file": config.name}, config, "provenance") if table else None
