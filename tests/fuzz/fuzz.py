"""Damaged files of every kind, read as a user would read them: whatever is not one of our own errors is a finding.

    python -m tests.fuzz.fuzz --seconds 60 --corpus build/fuzz --figures build/fuzz/figures.json

Case n is always the same: the seed by n, the damage by a generator of random numbers that starts from n. Cases run in a
process of their own, which is started again after a crash or a hang of 30 s. Exit 1 with findings; the damaged files of
each are kept.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from tests.fuzz.seeds import SEEDS, Seed, write_corpus
from vidconcept.files import shorten

HANG_S = 30
GROWTH_KB = 1 << 20
# Numbers and words that parsers trip over.
EXTREMES = (
    *(b"-1", b"0", b"1e999", b"NaN", b"null", b"[]", b"{}", b'""', b"99999999999999999999", b"1000000", b"0.5"),
    *(b"-Infinity", b"true", b'"' + b"a" * 300 + b'"', "²3".encode(), b"\x00", b"\xff", b"[" * 3000, b"../../x"),
)
TOKEN = re.compile(rb'-?\d+(?:\.\d+)?|"[^"]*"|true|false|null')


def damage(data: bytes, rng: random.Random) -> bytes:
    """A fault or two of a kind that disks, transfers, editors and strangers make."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        data = rng.choice(_FAULTS)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 8, 64))):
        if changed:
            # Headers matter most.
            at = rng.randrange(len(changed) if rng.random() < 0.75 else min(len(changed), 256))
            changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _leave_out(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data) + 1)
    return data[:first] + data[first + rng.choice((1, 4, 100, 5000)) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data) + 1)
    part = data[first : first + rng.choice((1, 16, 2000))]
    return data[:first] + part * rng.choice((2, 3, 50)) + data[first + len(part) :]


def _noise(data: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(data) + 1)
    length = rng.choice((1, 4, 32, 1000))
    return data[:first] + rng.randbytes(length) + data[first + length :]


def _replace_word(data: bytes, rng: random.Random) -> bytes:
    words = list(TOKEN.finditer(data[:200_000]))
    if not words:
        return _flip(data, rng)
    word = rng.choice(words)
    return data[: word.start()] + rng.choice(EXTREMES) + data[word.end() :]


_FAULTS = (_flip, _flip, _cut, _leave_out, _repeat, _noise, _replace_word, _replace_word)


def prepare(number: int, corpus: Path, work: Path) -> Seed:
    """Lay the damaged copy of a seed out in `work/case`."""
    rng = random.Random(number)
    seed = SEEDS[number % len(SEEDS)]
    shutil.rmtree(work, ignore_errors=True)
    case = work / "case"
    shutil.copytree(corpus / seed.name, case)
    files = sorted({path for pattern in seed.damage for path in case.glob(pattern) if path.is_file()})
    for path in rng.sample(files, min(len(files), rng.choice((1, 1, 2)))):
        path.write_bytes(damage(path.read_bytes(), rng))
    return seed


def run_cases(first: int, last: int, corpus: Path, work: Path, until: float) -> None:
    """In the child: one line of JSON when a case begins, and one for a finding."""
    from vidconcept.errors import VidconceptError

    os.environ["VIDCONCEPT_CACHE_DIR"] = str(work.parent / "cache")
    for number in range(first, last):
        if time.time() > until:
            break
        seed = prepare(number, corpus, work)
        print(json.dumps({"case": number}), flush=True)
        # Its default ends the process, also inside of a library.
        signal.alarm(HANG_S)
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            seed.read(work / "case")
        except VidconceptError as error:
            if len(str(error)) > 2000:
                print(json.dumps({"finding": number, "what": f"a message of {len(str(error))} letters"}), flush=True)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)
            ours = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "vidconcept" in f.filename]
            what = f"{type(error).__name__}: {str(error)[:200]} at {' '.join(ours[-2:])}"
            print(json.dumps({"finding": number, "what": what}), flush=True)
        signal.alarm(0)
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
        if grown_kb > GROWTH_KB:
            print(json.dumps({"finding": number, "what": f"{grown_kb >> 10} MB of memory"}), flush=True)
    print(json.dumps({"end": True}), flush=True)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--cases", type=int, default=1 << 30, help="no more than so many")
    options.add_argument("--first", type=int, default=0, help="number of the first case")
    options.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    options.add_argument(
        "--figures", type=Path, help="JSON to write what was read and found into, as docs/figures has it"
    )
    options.add_argument("--child", type=float, help=argparse.SUPPRESS)
    given = options.parse_args()
    work = given.corpus / "work"
    last = given.first + given.cases
    if given.child is not None:
        run_cases(given.first, last, given.corpus, work, given.child)
        return 0
    write_corpus(given.corpus)
    started = time.time()
    until = started + given.seconds
    number, findings = given.first, {}
    while number < last and time.time() < until:
        number, ended = _watch(given.corpus, number, last, until, findings)
        if ended:
            break
    kinds = collections.Counter(what for what in findings.values())
    print(f"{number - given.first} damaged inputs of {len(SEEDS)} kinds, {len(findings)} findings")
    for what, count in kinds.most_common():
        case = next(n for n, said in findings.items() if said == what)
        print(f"  {count} x {SEEDS[case % len(SEEDS)].name}, first in case {case}: {what}")
    if given.figures is not None:
        write_figures(given, number - given.first, time.time() - started, kinds)
    return bool(findings)


def name_finding(what: str) -> str:
    """A finding by what it has in common with others of its kind: without paths, values and numbers of lines."""
    found = re.fullmatch(r"(.*) at (\w+\.py):\d+.*", what, re.DOTALL)
    if found is None:
        return shorten(what)
    error = re.sub(r"\s*'[^']*('|$)", "", found[1])
    return shorten(f"{error} at {found[2]}")


def write_figures(given: argparse.Namespace, inputs: int, seconds: float, found: Mapping[str, int]) -> None:
    """What a run of this job says of itself, in the form in which the documentation shows figures."""
    first = f" FIRST={given.first}" if given.first else ""
    kinds: collections.Counter[str] = collections.Counter()
    for what, count in found.items():
        kinds[name_finding(what)] += count
    content = {
        "title": "Damaged inputs",
        "command": f"make fuzz SECONDS={given.seconds:g}{first} FIGURES={given.figures}",
        "data": f"{len(SEEDS)} small inputs made by tests/fuzz/seeds.py, damaged by tests/fuzz/fuzz.py",
        "data_commands": [],
        "weights": "",
        "figures": {
            "inputs": inputs,
            "kinds": len(SEEDS),
            "seconds": round(seconds),
            "findings": sum(found.values()),
            "found": dict(kinds.most_common()),
        },
    }
    given.figures.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _watch(corpus: Path, first: int, last: int, until: float, findings: dict[int, str]) -> tuple[int, bool]:
    """Run cases in a child until it ends. Returns the next case, and whether all were done."""
    line = [sys.executable, "-m", "tests.fuzz.fuzz", "--corpus", str(corpus), "--first", str(first)]
    line += ["--cases", str(last - first), "--child", str(until)]
    number, ended = first - 1, False
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        for text in child.stdout:
            try:
                said = json.loads(text)
            except ValueError:
                continue
            number = said.get("case", number)
            ended = ended or "end" in said
            if "finding" in said:
                findings[number] = said["what"]
                _keep(corpus, number)
    if not ended:
        code = child.returncode
        findings[number] = f"a hang of {HANG_S} s" if code == -signal.SIGALRM else f"the process died with {code}"
        _keep(corpus, number)
    return number + 1, ended


def _keep(corpus: Path, number: int) -> None:
    kept = corpus / "findings" / str(number)
    shutil.rmtree(kept, ignore_errors=True)
    prepare(number, corpus, kept)


if __name__ == "__main__":
    sys.exit(main())
