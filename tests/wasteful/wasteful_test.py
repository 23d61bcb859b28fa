#!/usr/bin/env python3
"""What samples/wasteful plants must be found: the pattern, at the line, with the bytes, and nothing
at any other line. Of the clean twin there must be no finding at all.

    wasteful_test.py --tidemark T --record WASTEFUL CLEAN [--keep FOLDER]    records both, then looks
    wasteful_test.py --tidemark T --traces FOLDER     looks at <name>_wasteful.db with .txt, what the
                                                      program printed, and at <name>_clean.db
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

PLANTED = re.compile(r"planted (\w+) (\S*:\d+) (\d+)$", re.MULTILINE)
# The last of a thread's short-lived blocks is followed by no other: nobody can tell. Of copies those
# of the first of 20 steps do not count: it warms up. Live blocks are taken to be touched first, so some of what
# malloc keeps counts as theirs.
LEAST_SHARE = {"churn": 0.999, "pageable_copies": 0.95, "repeated_copies": 0.9, "round_trips": 0.9,
               "host_spare": 0.75}
# What malloc keeps, and what is mapped by the loader, is not the planted line's alone.
MOST_SHARE = {"host_spare": 1.5, "unexplained": 1.1}
# Which pages are resident is asked now and then, since it costs: on a machine that is busy beyond measure the
# recorder may not get its turn while the program waits for it. Then it is recorded again.
SAMPLED = ("host_spare", "unexplained")
ATTEMPTS = 2


def record(tidemark, program, trace):
    done = subprocess.run([tidemark, "record", "-o", trace, "--", program], capture_output=True,
                          text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"{program} ended with {done.returncode}: {done.stderr}")
    trace.with_suffix(".txt").write_text(done.stdout)


def findings(tidemark, trace):
    report = subprocess.run([tidemark, "report", trace, "--format", "json"], capture_output=True,
                            text=True, check=True, timeout=300)
    return json.loads(report.stdout)["findings"]


def place(finding):
    return f"{pathlib.PurePath(finding['file'] or '').name}:{finding['line'] or 0}"


def describe(finding):
    return f"{finding['pattern']} at {place(finding)}, {finding['bytes']} bytes: {finding['evidence']}"


def check_wasteful(found, printed):
    """Prints a line for each pattern; returns what is wrong."""
    planted = PLANTED.findall(printed)
    wrong = [] if planted else ["the program says nothing of what it plants"]
    for pattern, line, size in planted:
        same = [one for one in found if one["pattern"] == pattern and place(one) == line]
        if len(same) != 1:
            wrong.append(f"{pattern} at {line}: {len(same)} findings")
            continue
        one = same[0]
        least = int(size) * LEAST_SHARE.get(pattern, 1)
        most = int(size) * MOST_SHARE.get(pattern, 1)
        if not least <= one["bytes"] <= most:
            wrong.append(f"{pattern} at {line}: {one['bytes']} bytes are found, {size} are planted")
        of_memory = one["peak_bytes"] > 0
        if of_memory and not one["peak_without_bytes"] < one["peak_bytes"]:
            wrong.append(f"{pattern} at {line}: the peak would not be lower without it")
        if not one["evidence"] or not one["mend"]:
            wrong.append(f"{pattern} at {line}: says not why, or not what to do")
        print(f"  {pattern:18} {line:24} {one['bytes']:>10} bytes"
              + (f"  peak {one['peak_bytes']} -> {one['peak_without_bytes']}" if of_memory else "")
              + (f"  {1e3 * one['seconds']:.1f} ms to be won" if one["seconds"] else ""))
    lines = {line for _, line, _ in planted}
    # One line may waste in several ways: what is pageable is also waited for.
    for one in found:
        if place(one) not in lines:
            wrong.append("nothing is planted there: " + describe(one))
    return wrong


def samples_missed(tidemark, wasteful):
    """The planted patterns that rest on samples and of which the trace has none."""
    found = {one["pattern"] for one in findings(tidemark, wasteful)}
    planted = PLANTED.findall(wasteful.with_suffix(".txt").read_text())
    return [pattern for pattern, _, _ in planted if pattern in SAMPLED and pattern not in found]


def check_pair(tidemark, wasteful, clean):
    print(f"{wasteful.name}:")
    wrong = check_wasteful(findings(tidemark, wasteful), wasteful.with_suffix(".txt").read_text())
    left = findings(tidemark, clean)
    print(f"{clean.name}: {len(left)} findings")
    wrong += ["the clean twin wastes nothing: " + describe(one) for one in left]
    for line in wrong:
        print("  WRONG: " + line)
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidemark", required=True, type=pathlib.Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--record", nargs=2, metavar=("WASTEFUL", "CLEAN"), type=pathlib.Path)
    what.add_argument("--traces", metavar="FOLDER", type=pathlib.Path)
    parser.add_argument("--keep", metavar="FOLDER", type=pathlib.Path)
    options = parser.parse_args()
    if options.traces:
        pairs = [(path, path.with_name(path.name.replace("_wasteful", "_clean")))
                 for path in sorted(options.traces.glob("*_wasteful.db"))]
        if not pairs:
            sys.exit(f"{options.traces}: holds no *_wasteful.db")
        return 0 if all([check_pair(options.tidemark, *pair) for pair in pairs]) else 1
    with tempfile.TemporaryDirectory(prefix="tidemark-wasteful-") as name:
        folder = options.keep or pathlib.Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        pair = [folder / (program.name + ".db") for program in options.record]
        for program, trace in zip(options.record, pair):
            record(options.tidemark, program.resolve(), trace)
        for attempt in range(2, ATTEMPTS + 1):
            missed = samples_missed(options.tidemark, pair[0])
            if not missed:
                break
            print(f"recorded again ({attempt} of {ATTEMPTS}): no sample showed {', '.join(missed)}")
            record(options.tidemark, options.record[0].resolve(), pair[0])
        return 0 if check_pair(options.tidemark, *pair) else 1


if __name__ == "__main__":
    sys.exit(main())
