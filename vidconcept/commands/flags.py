"""Settings in messages of the library become options of the command that runs.

The library knows no command line: it writes `threshold`, or `threshold=0.4`, as a caller in Python would.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any

from typer.core import TyperGroup

from vidconcept.errors import VidconceptError
from vidconcept.setting_layers import called_by_command
from vidconcept.settings import TrackSettings
from vidconcept.wording import is_alike

_SETTING = re.compile(r"`([a-z][a-z_]*)(?:=([^`]*))?`")
# Long options by the name of their parameter: of the command that runs, and of `track`, which a message of any command
# may advise to run again.
_options: ContextVar[tuple[dict[str, str], dict[str, str]]] = ContextVar("options", default=({}, {}))


def name_options(text: str) -> str:
    """The text with every setting in it as it is typed: `existing=resume` becomes --existing resume.

    A setting that the command takes only by `--set` is written so, one that it does not take as an option of `track`;
    what is neither stays as it is.
    """
    own, of_track = _options.get()

    def name_option(match: re.Match[str]) -> str:
        key, value = match[1], match[2]
        if key not in own and "setting" in own and key in TrackSettings.model_fields:
            return f"{own['setting']} {match[0].strip('`')}"
        option = own.get(key) or of_track.get(key)
        if option is None:
            return match[0]
        return option if value is None else f"{option} {value}"

    return _SETTING.sub(name_option, text)


def _find_options(command: Any) -> dict[str, str]:
    """Long option of each parameter, e.g. `start_s` -> --start."""
    return {p.name: p.opts[-1] for p in getattr(command, "params", ()) if p.param_type_name == "option"}


class NamingGroup(TyperGroup):
    """Commands whose errors name options where those of the library name settings."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        # Within a group of commands the whole application is not at hand; what it said of `track` still holds.
        of_track = _find_options(self.commands["track"]) if "track" in self.commands else _options.get()[1]
        _options.set((_find_options(command), of_track))
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            with called_by_command():
                return super().invoke(ctx)
        except VidconceptError as error:
            error.args = (name_options(str(error)),)
            raise
        except Exception as error:
            _keep_alike(error)
            raise


def _keep_alike(error: Any) -> None:
    """Of an option that does not exist: leave out guesses that are like it only by the dashes that all options have.

    error: known by its attributes, for its class is of Click or of Typer's own copy of it.
    """
    if getattr(error, "possibilities", None) and hasattr(error, "option_name"):
        error.possibilities = [guess for guess in error.possibilities if is_alike(error.option_name, guess)]
