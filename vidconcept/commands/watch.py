"""The command `watch`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidconcept.commands.options import Concepts, Config, Setting, parse_settings
from vidconcept.errors import ExitCode
from vidconcept.wording import format_count

if TYPE_CHECKING:
    from vidconcept.live.messages import WatchState

EXAMPLES = """
[bold]Two commands to copy[/]

  vidconcept watch rtsp://camera/stream --concepts scratch,dent --out recordings/
  ffmpeg -i camera -c copy -f mpegts - | vidconcept watch - --concepts scratch

Prints one JSON object per line on standard output: an event that began or ended, a recording that is complete.
Ctrl-C, or SIGTERM, finishes the current recording and ends.
"""
WHERE, RECORD, TELL = "Source", "Recording", "Notifications"


def watch(
    source: Annotated[
        str, typer.Argument(help="rtsp://, http://, srt://, udp:// address, /dev/video0, a FIFO, or - for MPEG-TS.")
    ],
    concepts: Concepts = None,
    setting: Setting = None,
    config: Config = None,
    max_delay: Annotated[
        float,
        typer.Option(min=0.1, max=3600, metavar="S", help="skip frames rather than report events later than this"),
    ] = 5.0,
    no_skip: Annotated[
        bool,
        typer.Option(
            "--no-skip",
            metavar="",
            help="skip no frames, let the source wait; for a pipe from a file",
            rich_help_panel=WHERE,
        ),
    ] = False,
    once: Annotated[
        bool,
        typer.Option(
            "--once", metavar="", help="end when the source ends; do not connect again", rich_help_panel=WHERE
        ),
    ] = False,
    duration: Annotated[
        float | None, typer.Option(min=0.1, metavar="S", help="stop after this many seconds", rich_help_panel=WHERE)
    ] = None,
    input_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="an FFmpeg option for this source; repeatable", rich_help_panel=WHERE),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="record into this folder: films with run folders", rich_help_panel=RECORD)
    ] = None,
    roll_minutes: Annotated[
        float, typer.Option(min=0.01, max=60, metavar="N", help="length of a recording", rich_help_panel=RECORD)
    ] = 10.0,
    roll_mb: Annotated[
        float,
        typer.Option(min=0.1, metavar="N", help="largest size of the film of a recording", rich_help_panel=RECORD),
    ] = 1000.0,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="URL", help="send each event to this address (HTTP POST)", rich_help_panel=TELL),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(metavar="mqtt://HOST/TOPIC", help="publish each event to this MQTT topic", rich_help_panel=TELL),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write counters to this file, for Prometheus", rich_help_panel=TELL),
    ] = None,
) -> None:
    """Follow a live camera: events as JSON lines while they happen, recordings as run folders."""
    from vidconcept.commands.terminal import Stop, survive_hangup, warn

    stop, line = Stop(), Lock()
    unprinted: list[OSError] = []
    # Before the other imports: they take seconds, and whoever stops it meanwhile stops it in peace.
    with stop.on_signals():
        from vidconcept.fleet.metrics import MetricsFile, check_metrics
        from vidconcept.live.metrics import watch_metrics
        from vidconcept.live.outlets import Sender, make_mqtt_publisher, make_webhook_poster
        from vidconcept.live.sources import parse_input_options
        from vidconcept.live.watch import WatchOptions
        from vidconcept.live.watch import watch as follow
        from vidconcept.pipelines.monitor import Monitor

        options = WatchOptions(
            out=out,
            roll_s=60 * roll_minutes,
            roll_bytes=1e6 * roll_mb,
            max_delay_s=max_delay,
            duration_s=duration,
            once=once,
            skips=not no_skip,
            input_options=parse_input_options(input_option or []),
        )
        settings = parse_settings(concepts, setting)
        if metrics is not None:
            check_metrics(metrics)
        counters = None if metrics is None else MetricsFile(metrics, warn)
        senders = [Sender("webhook", make_webhook_poster(webhook), warn)] if webhook else []
        senders += [Sender("mqtt", make_mqtt_publisher(mqtt), warn)] if mqtt else []

        def tell(message: dict[str, Any]) -> None:
            with line:
                try:
                    print(json.dumps(message, ensure_ascii=False), flush=True)
                except OSError as error:
                    # The recording is finished all the same.
                    stop.asked = True
                    # Where whoever read the events has gone, nobody is left to tell.
                    if not isinstance(error, BrokenPipeError):
                        unprinted.append(error)
            if message["type"] == "event":
                for sender in senders:
                    sender.put(message)

        def tell_state(state: WatchState) -> None:
            with survive_hangup():
                print(_describe_state(state), file=sys.stderr, flush=True)
            if counters is not None:
                counters.write(watch_metrics(state, time.time()))

        try:
            state = follow(
                source, settings, options,
                config=config, monitor=Monitor(stop=stop, warn=warn), tell=tell, tell_state=tell_state,
            )  # fmt: skip
        finally:
            for sender in senders:
                sender.close()
    if unprinted:
        raise unprinted[0]
    if state.runs_failed:
        raise typer.Exit(ExitCode.FAILURE)


def _describe_state(state: WatchState) -> str:
    """Where a watch stands, in one line."""
    delay = "" if state.delay_95_s is None else f", 95 % of frames within {state.delay_95_s:.1f} s"
    skipped = f", {state.skipped} skipped in {format_count(state.gaps, 'gap')}" if state.skipped else ""
    missing = f", {format_count(state.runs_failed, 'recording')} not finished" if state.runs_failed else ""
    lost = f", lost {format_count(state.failures, 'time')}" if state.failures else ""
    frames, events = format_count(state.frames, "frame"), format_count(state.events, "event")
    return f"{state.source}: {frames}, {state.read} read{skipped}{lost}{delay}, {events}{missing}"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EXAMPLES)(watch)
