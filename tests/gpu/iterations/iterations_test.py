#!/usr/bin/env python3
"""Iterations must be found exactly, count and boundaries, on every recorded training trace.

    iterations_test.py --tidemark T TRACE|FOLDER...

How many there are is what the recorded command was told (--steps, or its default). Where they begin and end
is held against what the device did, which the analyzer does not look at for a trace with a pool: the last
kernel of each iteration is the optimizer's, and what lies between it and the next iteration's first kernel
has the next iteration's first copy of inputs. Of a program that does not wait for the device after each step
(cuda_trainer, truth.py) the device's times say nothing of the host's: there the first allocation of each iteration must
be of one stack, and this stack must be seen as often as there are iterations, and never between.
"""

import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys

OPTIMIZER = re.compile(r"multi_tensor_apply_kernel|FusedAdam|adam", re.IGNORECASE)
PROGRAMS = ("train.py", "truth.py", "cuda_trainer")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "whatif"))


class Trace:
    def __init__(self, tidemark, path):
        self.tidemark, self.path = tidemark, path
        self.report = json.loads(self.run("report", path, "--format", "json"))
        words = shlex.split(self.report["command"])
        named = [i for i, word in enumerate(words) if pathlib.PurePath(word).name in PROGRAMS]
        self.program = pathlib.PurePath(words[named[0]]).name if named else None
        self.arguments = words[named[0] + 1:] if named else []

    def run(self, *words):
        return subprocess.run([self.tidemark, *map(str, words)], capture_output=True, text=True,
                              check=True, timeout=300).stdout

    def rows(self, query):
        return json.loads(self.run("sql", self.path, query, "--format", "json"))

    def steps(self):
        if "--steps" in self.arguments:
            return int(self.arguments[self.arguments.index("--steps") + 1])
        import train  # pylint: disable=import-outside-toplevel
        return train.parse(self.arguments).steps


def between(rows, begin, end):
    return [row for row in rows if begin <= row["start_ns"] < end]


def wrong_by_device(trace, iterations):
    """The device has done all of a step before the host begins the next."""
    kernels = trace.rows("select name, start_ns from kernel order by start_ns")
    copies = trace.rows("select start_ns from transfer where kind='HtoD' order by start_ns")
    wrong = []
    for i, one in enumerate(iterations):
        own = between(kernels, one["begin_ns"], one["end_ns"])
        last = one is iterations[-1]
        if not own or not (last or OPTIMIZER.search(own[-1]["name"])):
            wrong.append(f"iteration {i}: its last kernel is {own[-1]['name'] if own else 'none'}")
        inputs = between(copies, one["begin_ns"], one["end_ns"])
        if not own or not inputs or inputs[0]["start_ns"] > own[0]["start_ns"]:
            wrong.append(f"iteration {i}: its inputs are not copied before its first kernel")
    after = [row for row in kernels if row["start_ns"] >= iterations[-1]["end_ns"]]
    behind = [row for row in after if OPTIMIZER.search(row["name"])]
    if behind:
        late_ms = (behind[-1]["start_ns"] - iterations[-1]["end_ns"]) / 1e6
        print(f"    the end of the last iteration is guessed {late_ms:.1f} ms too early, or more")
    return wrong


def wrong_by_stack(trace, iterations):
    rows = trace.rows("select alloc_ns as start_ns, alloc_stack_id as stack from allocation "
                      f"where layer='{trace.report['training']['basis']}' and space='device' order by alloc_ns")
    first = [between(rows, one["begin_ns"], one["end_ns"])[:1] for one in iterations]
    if not all(first):
        return ["an iteration allocates nothing"]
    stacks = {row[0]["stack"] for row in first}
    if len(stacks) != 1:
        return [f"iterations begin with {len(stacks)} different stacks"]
    same = [row for row in rows if row["stack"] in stacks]
    counts = [len(between(same, one["begin_ns"], one["end_ns"])) for one in iterations]
    if len(set(counts)) != 1 or sum(counts) != len(same):
        return [f"what iterations begin with is seen {len(same)} times, in them {counts}"]
    return []


def check(trace):
    training = trace.report.get("training")
    iterations = training["iterations"] if training else []
    steps = trace.steps()
    if len(iterations) != steps:
        return [f"{len(iterations)} iterations are found, {steps} were run"], steps
    by = wrong_by_device if trace.program == "train.py" else wrong_by_stack
    return by(trace, iterations), steps


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidemark", required=True, type=pathlib.Path)
    parser.add_argument("traces", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    paths = [found for given in options.traces
             for found in (sorted(given.glob("*.db")) if given.is_dir() else [given])]
    bad = checked = 0
    for path in paths:
        trace = Trace(options.tidemark, path)
        name = f"{path.parent.parent.parent.name}/{path.name}"
        if trace.program is None:
            sys.exit(f"{path}: its command is no training whose steps are known: {trace.report['command']}")
        wrong, steps = check(trace)
        checked += 1
        bad += bool(wrong)
        print(f"{name:32} {steps:3} steps  {'count and begins exact' if not wrong else 'WRONG'}")
        for line in wrong:
            print("    " + line)
    print(f"{checked} traces, {bad} wrong")
    return 1 if bad or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
