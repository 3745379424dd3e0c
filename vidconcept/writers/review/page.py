"""`review.html`: one page that opens from disk by double click and asks the network for nothing."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from vidconcept.files import open_replacing
from vidconcept.manifest import read_run
from vidconcept.types import Recurring
from vidconcept.wording import format_count
from vidconcept.writers.frames.thumbs import name_recurring_thumb
from vidconcept.writers.review.data import collect_review_data
from vidconcept.writers.tables import read_recurring

_SCRIPTS = ("data", "verdicts", "player", "strips", "table", "main")


def write_review(run_dir: Path, *, done: bool | None = None) -> Path:
    """Writes `review.html` into a run folder from its tables, and returns its path.

    done: whether the run is finished; None takes what its manifest says. Raises InputError where the folder is no run,
    OutputError where it cannot be written.
    """
    run = read_run(run_dir)
    run = run if done is None else replace(run, done=done)
    chart_style, style = read_asset("uplot.min.css"), read_asset("review.css")
    chart_script = read_asset("uplot.iife.min.js")
    script = '"use strict";\n(() => {\n' + "".join(read_asset(f"review-{name}.js") for name in _SCRIPTS) + "})();\n"
    page = fill_template(
        read_asset("review.html"),
        {
            "policy": make_policy(scripts=(chart_script, script), styles=(chart_style, style)),
            "title": html.escape(f"{run.video} · review"),
            "chart_style": chart_style,
            "style": style,
            "recurring": write_recurring_html(read_recurring(run_dir / "recurring.csv", run)),
            "data": escape_json(collect_review_data(run_dir, run)),
            "chart_script": chart_script,
            "script": script,
        },
    )
    path = run_dir / "review.html"
    with open_replacing(path) as file:
        file.write(page)
    return path


def write_recurring_html(groups: Sequence[Recurring]) -> str:
    """What looks alike all over the footage, to be opened by who wants to see it; empty where there is nothing."""
    if not groups:
        return ""
    kept = [group.group_id for group in groups if group.kept]
    others = [group.group_id for group in groups if not group.kept]
    items = "".join(
        f'<li><img src="{name_recurring_thumb(g.group_id)}" alt="" loading="lazy" width="128" height="96">'
        f"<span>{g.group_id}: {html.escape(g.concept)}, {format_count(g.count, 'time')}, {g.start_s:.1f} s to "
        f"{g.end_s:.1f} s, score {g.peak_score:.2f}{', kept as findings' if g.kept else ''}</span></li>"
        for g in groups
    )
    count = format_count(len(groups), "recurring group") + (f", {len(kept)} kept as findings" if kept else "")
    # The groups of one call take the place of those of the call before.
    asked = ",".join(map(str, sorted([*kept, *others[:1]])))
    command = f"<code>vidconcept track … --existing resume --keep-recurring {asked}</code>"
    how = f" To make findings of a group: {command}" if others else ""
    return (
        f'<details id="recurring"><summary>{count}</summary><p>These score like findings, but their like is all over '
        f"the footage.{how}</p><ul>{items}</ul></details>"
    )


def read_asset(name: str) -> str:
    """Text of a packaged asset."""
    return files("vidconcept.writers.review").joinpath("assets", name).read_text(encoding="utf-8")


def fill_template(template: str, parts: dict[str, str]) -> str:
    """The template with `{{name}}` replaced, in one pass: what a part contains is never taken for a placeholder."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def make_policy(scripts: tuple[str, ...], styles: tuple[str, ...]) -> str:
    """A content security policy that runs these inlined scripts and nothing else.

    `file:` is named because a page opened from disk has no origin that 'self' could mean.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash_sources(scripts)}",
            f"style-src {_hash_sources(styles)}",
            "img-src 'self' file:",
            "media-src 'self' file:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def escape_json(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash_sources(texts: tuple[str, ...]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
