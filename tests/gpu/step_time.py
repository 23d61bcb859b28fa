#!/usr/bin/env python3
"""What recording costs a training step: bare and recorded by turns, on a machine with a GPU.

    python3 tests/gpu/step_time.py TIDEMARK OUTDIR [--rounds 5] [--steps 100]
        [--model resnet50] [--way "--host=off --access=off" ...]

For GPT-2 small (batch 4 x 512) and ResNet-50 (batch 8): the median step of the second half of each
run, where imports are long over, and of the first eight, where the collector is still busy with
them; the ratio is the median of the rounds' own. Writes step_time.json; asserts no time.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

MODELS = {"gpt2": ["--batch", "4", "--sequence", "512"], "resnet50": ["--batch", "8"]}
WAYS = {"everything": [], "without the host": ["--host=off"],
        "device memory alone": ["--host=off", "--device=memory"]}
SAMPLES = pathlib.Path(__file__).resolve().parents[2] / "samples" / "pytorch"


def run(options, model, way, arguments):
    """The steps' times in ms, and the whole program's in s."""
    figures = options.outdir / "step_time.run.json"
    program = [sys.executable, SAMPLES / f"{model}.py", *MODELS[model],
               "--steps", options.steps, "--json", figures]
    trace = options.outdir / "step_time.db"
    recorder = [] if way is None else [options.tidemark, "record", "-o", trace, *arguments, "--"]
    subprocess.run([str(part) for part in [*recorder, *program]], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    measured = json.loads(figures.read_text())
    size = trace.stat().st_size if recorder else 0
    for path in (figures, trace):
        path.unlink(missing_ok=True)
    return [1e3 * seconds for seconds in measured["step_seconds"]], measured["total_seconds"], size


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tidemark")
    parser.add_argument("outdir", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--model", choices=list(MODELS), help="this model alone")
    parser.add_argument("--way", action="append", metavar="OPTIONS",
                        help="record's options; may be given again; instead of the usual three ways")
    options = parser.parse_args()
    models = [options.model] if options.model else list(MODELS)
    ways = {way: way.split() for way in options.way} if options.way else WAYS
    options.outdir.mkdir(parents=True, exist_ok=True)

    rows = []
    for round_number in range(options.rounds):
        for model in models:
            for way in (None, *ways):
                steps, total, size = run(options, model, way, ways.get(way))
                rows.append({"round": round_number, "model": model, "way": way or "bare",
                             "first": statistics.median(steps[:8]),
                             "later": statistics.median(steps[len(steps) // 2:]),
                             "slowest": max(steps[len(steps) // 2:]), "total_s": total,
                             "trace_bytes": size})
                (options.outdir / "step_time.json").write_text(json.dumps(rows, indent=1) + "\n")
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)

    wide = max(map(len, ways)) + 2
    print(f"{'model':10}{'way':{wide}}{'later, ms':>11}{'/ bare':>8}{'first 8, ms':>13}{'/ bare':>8}"
          f"{'whole run, s':>14}{'trace, MB':>11}")
    for model in models:
        bare = {row["round"]: row for row in rows if row["model"] == model and row["way"] == "bare"}
        for way in ("bare", *ways):
            mine = [row for row in rows if row["model"] == model and row["way"] == way]

            def middle(key, over_bare=False):
                return statistics.median(
                    row[key] / (bare[row["round"]][key] if over_bare else 1) for row in mine)

            print(f"{model:10}{way:{wide}}{middle('later'):11.2f}{middle('later', True):8.3f}"
                  f"{middle('first'):13.2f}{middle('first', True):8.3f}{middle('total_s'):14.2f}"
                  f"{middle('trace_bytes') / 1e6:11.2f}")


if __name__ == "__main__":
    main()
