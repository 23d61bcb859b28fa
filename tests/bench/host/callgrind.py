"""Instructions by source file and line, from callgrind's output: inlined code counts where it was written."""

import collections
import os
import re
import shutil

from tools import Bare, BenchError


def read(path):
    """{(object, file, function, line): instructions}, callees not included."""
    costs = collections.Counter()
    names = {}
    current = {"ob": "", "fl": "", "fn": ""}
    line = 0
    skip = False

    def name(kind, text):
        match = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if not match:
            return text
        key = (kind, match[1])
        if match[2] is not None:
            names[key] = match[2]
        return names[key]

    with open(path) as file:
        for row in file:
            row = row.rstrip("\n")
            if not row:
                continue
            if row[0] in "0123456789+-*":
                position, *cost = row.split()
                if position[0] in "+-":
                    line += int(position)
                elif position != "*":
                    line = int(position)
                if skip:
                    skip = False
                elif cost:
                    costs[(current["ob"], current["fl"], current["fn"], line)] += int(cost[0])
                continue
            key, _, value = row.partition("=")
            if key == "ob":
                current["ob"] = name("ob", value)
            elif key in ("fl", "fi", "fe"):
                current["fl"] = name("fl", value)
            elif key == "fn":
                current["fn"] = name("fn", value)
            elif key in ("cfi", "cfl"):
                name("fl", value)
            elif key == "cfn":
                name("fn", value)
            elif key == "cob":
                name("ob", value)
            elif key == "calls":
                skip = True
    return costs


class NotRecorded(BenchError):
    """There was nothing to count: an instruction count would be that of a bare run."""


class Profiler:
    """Instructions a pair: two lengths of run, so that start and end cancel out."""

    SHORT, LONG = 20_000, 60_000

    def __init__(self, pairs_program, folder):
        self.pairs_program = pairs_program
        self.folder = folder

    @staticmethod
    def missing():
        return None if shutil.which("valgrind") else "valgrind is not installed"

    def _run(self, recorder, shape, pairs):
        out = os.path.join(self.folder, "callgrind.out")
        # By way of env: `tidemark record -- valgrind` is declined, because valgrind replaces malloc.
        # callgrind does not, and what it counts is our code.
        command = ["env", "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                   self.pairs_program, shape, str(pairs), "1"]
        (recorder or Bare()).run(command)
        if recorder is not None and recorder.counts().allocations < pairs:
            raise NotRecorded("instructions: the recorder stays off inside valgrind")
        return read(out)

    def costs(self, recorder, shape):
        """As read() gives them, of LONG - SHORT pairs."""
        costs = self._run(recorder, shape, self.LONG)
        costs.subtract(self._run(recorder, shape, self.SHORT))
        return costs

    def per_pair(self, recorder, shape):
        return sum(self.costs(recorder, shape).values()) / (self.LONG - self.SHORT)

    def breakdown(self, recorder, shape):
        """Text: where the instructions of one pair go."""
        costs = self.costs(recorder, shape)
        pairs = self.LONG - self.SHORT
        lines = [f"{shape}: {sum(costs.values()) / pairs:.1f} instructions per pair"]
        base = os.path.basename
        for title, least, key in (
                ("by file", 0.5, lambda at: f"{base(at[0])} {base(at[1])}"),
                ("by function", 1, lambda at: f"{base(at[0])} {at[2][:90]}"),
                ("by line of ours", 3, lambda at: f"{base(at[1])}:{at[3]}" if "tidemark" in at[0]
                 else "elsewhere")):
            sums = collections.Counter()
            for at, cost in costs.items():
                sums[key(at)] += cost
            lines.append(f" {title}")
            lines += [f"  {cost / pairs:9.1f}  {name}" for name, cost in sums.most_common()
                      if cost / pairs >= least]
        return "\n".join(lines)
