#!/usr/bin/env python3
"""The README's table of predictions, from the committed table of cases.

    readme_table.py TABLE            prints the rows and the sums
    readme_table.py TABLE README     exits with 1 where the README says anything else"""

import re
import statistics
import sys

ROW = re.compile(r"(\S+) (\S+)\s+\d+\s+\d+\s+([+-]\S+)%\s+\d+\s+(?:\d+|–)\s+([+-]\S+%|–)\s+(\S+)")

# What each row is called, and which cases are its; `+` joins two changes.
GROUPS = [
    ("none (replay)", r"base"),
    ("batch / 2", r"batch/2"),
    ("batch x 2, x 4, x 8", r"batch\*\d"),
    ("checkpointed layers, all or every second", r"checkpoint(-every-2)?"),
    ("model in bf16", r"bf16"),
    ("autocast to bf16", r"autocast"),
    ("SGD, momentum", r"sgd|momentum"),
    ("Adam with 8-bit states (emulated)", r"adam8bit"),
    ("accumulation, kept gradients", r"accumulate|keep-gradients"),
    ("sequence x 2, / 2 *", r"sequence[*/]2"),
    ("allocator: expandable segments, max_split_size_mb", r"expandable|max-split|batch\*4\+expandable"),
    ("inference *", r"inference|batch\*4\+inference|inference\+bf16"),
    ("frozen first half *", r"freeze"),
    ("adapters (LoRA) *", r"lora"),
    ("adapters on 8- and 4-bit weights *", r"lora\+int[48]"),
    ("factored weights *", r"low-rank"),
    ("pruned: masks *", r"prune"),
    ("pruned: inner width *", r"prune-structured"),
    ("activations offloaded *", r"offload-activations"),
    ("optimizer offloaded *", r"offload-optimizer"),
    ("data parallel, ZeRO 1 to 3, on two GPUs *", r"ddp|zero[123](\+checkpoint)?|batch\*4\+zero3"),
    ("two of these", r".*\+.*"),
]


def read_cases(text):
    """[(model, change, error of allocated, of reserved or None, of the change or None)], in percent."""
    cases = []
    for line in text.splitlines():
        found = ROW.match(line)
        if found:
            model, change, allocated, reserved, changed = found.groups()
            percent = [None if x == "–" else abs(float(x.rstrip("%"))) for x in (allocated, reserved, changed)]
            cases.append((model, change, *percent))
    return cases


def figure(value):
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"


def median_and_worst(values):
    return f"{figure(statistics.median(values))} / {max(values):.1f}"


def rows(cases):
    left = list(cases)
    for name, pattern in GROUPS:
        mine = [case for case in left if re.fullmatch(pattern, case[1])]
        left = [case for case in left if case not in mine]
        if mine:
            yield "| {} | {} | {} | {} |".format(
                name, len(mine), median_and_worst([case[2] for case in mine]),
                median_and_worst([case[3] for case in mine if case[3] is not None]))
    if left:
        raise SystemExit(f"readme_table: of no row: {left[0][1]}")


def sums(text):
    """What the table itself says of all cases: {what: (median, worst)}."""
    pattern = re.compile(r"^(peak allocated|peak reserved|change|step time) +median +(\S+) % +worst +(\S+) %", re.M)
    return {what: (float(median), float(worst)) for what, median, worst in pattern.findall(text)}


def sentence(of):
    return ("In all: allocated median {:.2f}, worst {:.1f}; reserved {:.2f}, worst {:.1f}; "
            "the change itself {:.2f}, worst {:.0f}; step time of checkpointing {:.1f}, worst {:.0f}").format(
                *of["peak allocated"], *of["peak reserved"], *of["change"], *of["step time"])


def main(arguments):
    with open(arguments[0], encoding="utf-8") as file:
        text = file.read()
    wanted = list(rows(read_cases(text)))
    wanted.append(sentence(sums(text)))
    if len(arguments) == 1:
        print("\n".join(wanted))
        return 0
    with open(arguments[1], encoding="utf-8") as file:
        readme = " ".join(file.read().split())
    missing = [line for line in wanted if line not in readme]
    for line in missing:
        print(f"the README does not say: {line}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
