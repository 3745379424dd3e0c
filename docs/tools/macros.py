"""What pages take from the code and from docs/figures/*.json, as macros and filters of mkdocs-macros-plugin.

No page writes a measured figure by hand: `{{ figures.tokens.generated.mean_ap | decimals(2) }}` reads it from
docs/figures/tokens.json. A key that does not exist ends the build.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import code_tables
import figure_tables

FIGURES = Path(__file__).parents[1] / "figures"


def read_figures(folder: Path = FIGURES) -> dict[str, dict[str, Any]]:
    """Each JSON file by its stem: title, command, data, weights, figures."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def format_decimals(value: float, places: int = 2) -> str:
    return f"{value:.{places}f}"


def format_percent(value: float, places: int = 0) -> str:
    return f"{100 * value:.{places}f} %"


def format_interval(value: Iterable[float], places: int = 2) -> str:
    """[0.2938, 0.6335] -> "0.29 to 0.63"."""
    low, high = value
    return f"{low:.{places}f} to {high:.{places}f}"


FILTERS: Mapping[str, Callable[..., str]] = {
    "decimals": format_decimals,
    "percent": format_percent,
    "interval": format_interval,
}


def make_macros() -> dict[str, Any]:
    """Everything that a page can name: the variable `figures`, and the macros that make tables."""
    files = read_figures()
    macros = {name: getattr(code_tables, name) for name in code_tables.__all__}
    for name in figure_tables.__all__:
        macros[name] = _bound(getattr(figure_tables, name), files)
    return {"figures": {name: file["figures"] for name, file in files.items()}, **macros}


def _bound(table: Callable[..., str], files: Mapping[str, dict[str, Any]]) -> Callable[..., str]:
    return lambda *arguments, **options: table(files, *arguments, **options)


def define_env(env: SimpleNamespace) -> None:
    """Called by mkdocs-macros-plugin."""
    for name, value in make_macros().items():
        if callable(value):
            env.macro(value, name)
        else:
            env.variables[name] = value
    for name, value in FILTERS.items():
        env.filter(value, name)


def on_post_build(env: SimpleNamespace) -> None:
    """Called when the site is there: nothing in it is loaded from the network."""
    for page in Path(env.conf["site_dir"]).rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|iframe|source|link)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8")
        )
        if loaded:
            raise SystemExit(f"{page} loads {loaded[0]}: the site must be readable offline")
