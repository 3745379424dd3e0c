"""Track two kinds of defect through a video, and read what was found.

    python examples/track_and_read.py [VIDEO] [--out FOLDER] [--seconds S]

Prints each event, the widest mask of each, and where a threshold of one's own would have drawn the line.
"""

import argparse
from pathlib import Path

import vidconcept
from vidconcept.tracks.rle import decode_box

CLIP = Path(__file__).with_name("line_cam.mp4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("video", nargs="?", type=Path, default=CLIP)
    parser.add_argument("--out", type=Path, help="run folder; default beside the video")
    parser.add_argument("--seconds", type=float, help="how much of the video is read; default all")
    options = parser.parse_args()

    # What `vidconcept track` does; "resume" goes on with a run that is there, and needs no model when it is finished.
    run = vidconcept.track(
        options.video, concepts=["scratch", "dent"], out=options.out, existing="resume", end_s=options.seconds
    )
    print(f"{len(run.events)} events in {run.path}")
    for event in run.events:
        print(
            f"  {event.event_id}: {event.concept}, {event.start_s:.2f} to {event.end_s:.2f} s, {event.peak_score:.2f}"
        )

    # Masks come one row at a time, so an hour of video needs no more memory than a second.
    frame_size = (run.manifest["video"]["width_px"], run.manifest["video"]["height_px"])
    largest = {}
    for row in run.tracks():
        if row.area_px > largest.get(row.tracker_id, (0, None))[0]:
            largest[row.tracker_id] = (row.area_px, row)
    for tracker_id, (area_px, row) in largest.items():
        mask = decode_box(row.rle, frame_size, row.box_px)  # (h, w) uint8 inside the box
        print(f"  track {tracker_id}: {area_px} pixels on frame {row.frame_index}, {mask.mean():.0%} of its box")

    # Scores of every frame, those without a finding included.
    highest = {}
    for row in run.frames():
        highest[row.concept] = max(highest.get(row.concept, 0.0), row.score_max)
    print("highest score:", ", ".join(f"{concept} {score:.2f}" for concept, score in highest.items()))


if __name__ == "__main__":
    main()
