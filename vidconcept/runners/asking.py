"""What a batch asks of its films, settled before any of them is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from vidconcept.errors import VidconceptError
from vidconcept.files import read_bytes
from vidconcept.fleet.footage import Film
from vidconcept.fleet.records import digest_of
from vidconcept.models.adapter import read_layout
from vidconcept.models.folder import find_folder
from vidconcept.models.line_head_file import check_line_head
from vidconcept.pipelines.plan import MAPS_VERSION
from vidconcept.pipelines.settle import settle
from vidconcept.rarity.good_parts import check_good_parts
from vidconcept.settings import RARITY_WORDS


@dataclass
class Asking:
    """Settings, weights and version of each group of films that share them, looked at once a group."""

    _digests: dict[str, str] = field(default_factory=dict, repr=False)
    _weights: dict[str, str] = field(default_factory=dict, repr=False)

    def digest(self, film: Film) -> str:
        """What stands for all that is asked of a film. Raises UsageError, InputError or ModelError if it is wrong."""
        group = digest_of([film.settings, str(film.config)])
        if group not in self._digests:
            try:
                self._digests[group] = self._settle(film)
            except VidconceptError as error:
                # Of many cameras, say which.
                if film.camera:
                    error.args = (f"camera {film.camera}: {error}",)
                raise
        return self._digests[group]

    def _settle(self, film: Film) -> str:
        settled = settle(film.settings, film.config)
        settings, source, good_parts = settled.settings, settled.preset.source, ""
        if source not in self._weights:
            self._weights[source] = read_layout(find_folder(settled.preset).path).fingerprint
        if settings.rarity not in RARITY_WORDS:
            check_good_parts(Path(settings.rarity), self._weights[source])
            good_parts = digest_of(read_bytes(Path(settings.rarity)).hex())
        head = settings.line_head and check_line_head(Path(settings.line_head), self._weights[source])
        return digest_of(
            [
                settings.model_dump(mode="json"),
                settled.words,
                self._weights[source],
                good_parts,
                head,
                version("vidconcept"),
                MAPS_VERSION,
            ]
        )
