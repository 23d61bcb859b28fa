#!/usr/bin/env python3
"""Every face of a trace gives the same numbers: text, JSON, HTML, Markdown, info, diff, and SQL,
from which peaks and lines are worked out here once more. Run on the traces of the golden tests and
on a recorded one.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

UNITS = ("KiB", "MiB", "GiB", "TiB")


def format_bytes(count):
    if count < 1024:
        return f"{count} B"
    value, unit = count / 1024, 0
    while value >= 1023.5 and unit + 1 < len(UNITS):
        value, unit = value / 1024, unit + 1
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f} {UNITS[unit]}"


def format_ns(ns):
    for least, unit, name in ((999_999_500, 1e9, "s"), (999_999.5, 1e6, "ms"), (1e3, 1e3, "µs")):
        if abs(ns) >= least:
            return f"{ns / unit:.3f} {name}"
    return f"{ns} ns"


class Faces:
    """The answers of one trace."""

    def __init__(self, tidemark, path):
        self.tidemark = tidemark
        self.path = path
        self.text = self.run("report")
        self.markdown = self.run("report", "--format", "markdown")
        self.json = json.loads(self.run("report", "--format", "json"))
        self.info = json.loads(self.run("info", "--json"))
        html = self.run("report", "--format", "html")
        self.page = {name: json.loads(html.split(f'id="{name}-data">')[1].split("</script>")[0])
                     for name in ("report", "detail")}

    def run(self, command, *options):
        return subprocess.run([self.tidemark, command, self.path, *options], check=True,
                              capture_output=True, timeout=60).stdout.decode()

    def sql(self, query):
        return json.loads(self.run("sql", query, "--format", "json"))


class Checks:
    def __init__(self):
        self.count = 0
        self.failed = []

    def same(self, what, one, other):
        self.count += 1
        if one != other:
            self.failed.append(f"{what}: {one!r} is not {other!r}")

    def true(self, what, holds):
        self.same(what, bool(holds), True)


def name_of(space):
    return f"{space['layer']} {space['space']}"


def words(name):
    return name.replace("_", " ")


def undelta(steps):
    values, last = [], 0
    for step in steps:
        last += step
        values.append(last)
    return values


def sums(rows, key):
    result = {}
    for kind, size in zip(rows[key], rows["bytes"]):
        result[kind] = result.get(kind, 0) + size
    return result


def check_page(faces, check):
    check.same("JSON in the page", faces.page["report"], faces.json)
    for space, detail in zip(faces.json["spaces"], faces.page["detail"]["spaces"], strict=True):
        where = f"page, {name_of(space)}"
        rows = detail["rows"]
        check.same(f"{where}: all rows", sum(rows["bytes"]), space["peak_bytes"])
        if detail["by_category"]:
            categories = {one["category"]: one["bytes"] for one in space["categories"] if one["bytes"]}
            check.same(f"{where}: categories", sums(rows, "category"), categories)
        lines = {(detail["lines"][line]["name"], detail["lines"][line]["file"]): size
                 for line, size in sums(rows, "line").items() if line >= 0}
        for line in space["lines"]:
            check.same(f"{where}: {line['name']}", lines[line["name"], line["file"] or ""], line["bytes"])
        layers = {detail["layers"][layer]["path"]: size
                  for layer, size in sums(rows, "layer").items() if layer >= 0}
        for layer in space["layers"]:
            check.same(f"{where}: {layer['name']}", layers[layer["name"]], layer["bytes"])
        timeline = detail["timeline"]
        totals = [sum(column) for column in zip(*map(undelta, timeline["bytes"]))]
        check.same(f"{where}: highest point", max(totals, default=0), space["peak_bytes"])
        if timeline["column_ns"] == 0 and totals:
            at = undelta(timeline["times_ns"])[totals.index(max(totals))]
            check.same(f"{where}: time of it", at, space["peak_at_ns"])


def section(text, title):
    """The indented lines behind a title."""
    found = text.split(title + "\n" if title.endswith(")") else title, 1)
    if len(found) < 2:
        return ""
    return re.split(r"\n(?=\S)", found[1], maxsplit=1)[0]


def check_text(faces, check):
    table = section(faces.text, "Memory by layer and space (layers hold each other: do not add them up)")
    for space in faces.json["spaces"]:
        name = name_of(space)
        row = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()
               if line.split()[:2] == [space["layer"], space["space"]]]
        check.same(f"text, {name}: rows", len(row), 1)
        check.same(f"text, {name}", row[0][2:], [
            format_bytes(space["peak_bytes"]), format_ns(space["peak_at_ns"]),
            f"{space['allocations']:,}", format_bytes(space["allocated_bytes"]),
            format_bytes(space["unfreed_bytes"]), f"{space['unfreed_count']:,}"])
        if not space["cause"]:
            continue
        owned = section(faces.text, f"Who owned the peak of {name}:")
        check.true(f"text, {name}: peak of its owners",
                   owned.startswith(f" {format_bytes(space['peak_bytes'])} at {format_ns(space['peak_at_ns'])}"))
        shown = [line.split("%", 1)[1].split(maxsplit=2) for line in owned.splitlines() if "%" in line]
        shown = [(f"{size} {unit}", name) for size, unit, name in shown]
        for one in space["categories"]:
            check.true(f"text, {name}: {one['category']}",
                       (format_bytes(one["bytes"]), words(one["category"])) in shown)
        for one in space["lines"][:5]:
            check.true(f"text, {name}: {one['name']}", any(
                size == format_bytes(one["bytes"]) and one["name"].startswith(text.rstrip("…"))
                for size, text in shown))


def check_markdown(faces, check):
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")]
             for line in faces.markdown.splitlines() if line.startswith("| ")]
    for space in faces.json["spaces"]:
        check.true(f"Markdown, {name_of(space)}", [
            space["layer"], space["space"], format_bytes(space["peak_bytes"]),
            format_ns(space["peak_at_ns"]), format_bytes(space["unfreed_bytes"])] in cells)
    lead = re.search(r"\*\*(.*) at the peak of (.*)\*\*", faces.markdown)
    check.same("Markdown says who owned a peak", bool(lead), bool(faces.json["spaces"]))
    if not lead:
        return
    space = next(one for one in faces.json["spaces"] if name_of(one) == lead[2])
    check.same("Markdown's peak", lead[1], format_bytes(space["peak_bytes"]))
    for one in space["categories"]:
        check.true(f"Markdown, {one['category']}",
                   [words(one["category"]), format_bytes(one["bytes"])] in [row[:2] for row in cells])
    for one in space["lines"][:5]:
        check.true(f"Markdown, {one['name']}", any(
            row[0].strip("`") == one["name"] and row[1] == format_bytes(one["bytes"]) and
            row[3:] == [f"{one['count']:,}"] for row in cells))


def check_info(faces, check):
    check.same("info", [(one["layer"], one["space"], one["bytes"], one["at_ns"]) for one in faces.info["peaks"]],
               [(one["layer"], one["space"], one["peak_bytes"], one["peak_at_ns"]) for one in faces.json["spaces"]])
    for key in ("command", "span_ns", "events", "processes", "losses", "remarks"):
        if key != "processes":  # info looks at less of each
            check.same(f"info, {key}", faces.info[key], faces.json[key])


def peak_of(blocks):
    """The most that was live and when first; at one moment ends count before begins."""
    changes = {}
    for block in blocks:
        if block["end"] is not None and block["end"] <= block["alloc_ns"]:
            continue
        changes[block["alloc_ns"]] = changes.get(block["alloc_ns"], 0) + block["size"]
        if block["end"] is not None:
            changes[block["end"]] = changes.get(block["end"], 0) - block["size"]
    live = most = at = 0
    for time in sorted(changes):
        live += changes[time]
        if live > most:
            most, at = live, time
    return most, at


def check_sql(faces, check):
    blocks = faces.sql("""select layer, space, device, size, alloc_ns, alloc_stack_id as stack,
                          coalesce(free_ns, p.end_ns) as end
                          from allocation a left join process p on p.id = a.process_id""")
    frames = {}
    for row in faces.sql("select stack_id, file, line from frame where file is not null"):
        frames.setdefault((row["file"], row["line"]), set()).add(row["stack_id"])
    for space in faces.json["spaces"]:
        where = f"SQL, {name_of(space)}"
        mine = [block for block in blocks if block["layer"] == space["layer"] and space["space"] in
                (block["space"], f"{block['space']}:{block['device']}")]
        check.same(f"{where}: count", len(mine), space["allocations"])
        check.same(f"{where}: in total", sum(block["size"] for block in mine), space["allocated_bytes"])
        check.same(f"{where}: peak", peak_of(mine), (space["peak_bytes"], space["peak_at_ns"]))
        live = [block for block in mine if block["alloc_ns"] <= space["peak_at_ns"] and
                (block["end"] is None or block["end"] > space["peak_at_ns"])]
        check.same(f"{where}: blocks at the peak", (sum(block["size"] for block in live), len(live)),
                   (space["at_peak"]["bytes"], space["at_peak"]["count"]))
        for line in space["lines"]:
            # One of its blocks has the line on its stack; of a line that others call there are more.
            stacks = frames.get((line["file"], line["line"]), set())
            through = sum(block["size"] for block in live if block["stack"] in stacks)
            if line["line"]:
                check.true(f"{where}: {line['name']}", through >= line["bytes"])


def check_findings(faces, check):
    """In the order of the JSON; text and Markdown show the first ones."""
    wasted = section(faces.text, "What is wasted")
    for number, one in enumerate(faces.json["findings"][:5], 1):
        where = f"finding {number}"
        shown = wasted.split(f"\n  {number}. ")[1].split(f"\n  {number + 1}. ")[0]
        bullet = faces.markdown.split("**What to change**")[1].split("\n- ")[number].split("\n")[0]
        for face, text in (("text", shown), ("Markdown", bullet)):
            check.true(f"{where}, {face}: bytes", format_bytes(one["bytes"]) in text)
            # The text has room for so much of a name.
            check.true(f"{where}, {face}: line", (one["where"] or "")[:49] in text)
            if one["peak_bytes"] > one["peak_without_bytes"]:
                check.true(f"{where}, {face}: peaks", f"eak {format_bytes(one['peak_bytes'])} -> "
                           f"{format_bytes(one['peak_without_bytes'])}" in text)


def check_advice(faces, check):
    """Text and Markdown show those that apply; what was predicted, whatif predicts."""
    advice = faces.json["advice"]
    lines = advice["techniques"]
    check.same("techniques", len({line["technique"] for line in lines}), 15)
    shown = section(faces.text, "Advice by technique").splitlines()
    rows = [row.strip("|").split(" | ") for row in
            faces.markdown.split("**Techniques that apply**")[-1].splitlines() if row.startswith("| ")]
    for line in lines:
        name = f"advice, {line['technique']}"
        check.true(f"{name}: says why, with a number", re.search(r"\d.*\.$", line["why"]))
        gained = (advice["peak_bytes"] - line["peak_with_bytes"]
                  if line["peak_with_bytes"] is not None else 0)
        check.same(f"{name}: saved", line["saved_bytes"], max(0, gained) + line["beside_bytes"])
        predicted = line["peak_with_bytes"] is not None
        if predicted:
            answer = json.loads(subprocess.run(
                [faces.tidemark, "whatif", faces.path, *line["command"].split()[3:], "--json"],
                check=True, capture_output=True).stdout)
            check.same(f"{name}: whatif", (answer["predicted"]["peak_reserved_bytes"],
                                           answer["baseline"]["peak_reserved_bytes"]),
                       (line["peak_with_bytes"], advice["peak_bytes"]))
            check.true(f"{name}: whatif's time",
                       abs(answer["predicted"]["extra_time_ratio"] - line["time_ratio"]) < 1e-9)
        if not line["applies"]:
            continue
        if line["saved_bytes"]:
            check.true(f"{name}: text", any(format_bytes(line["saved_bytes"]) in row for row in shown))
        if predicted:
            check.true(f"{name}: Markdown", any(
                f"-\\> {format_bytes(line['peak_with_bytes'])}" in row[1] for row in rows))


def check_diff(faces, check):
    same = json.loads(subprocess.run([faces.tidemark, "diff", faces.path, faces.path, "--json"],
                                     check=True, capture_output=True).stdout)
    for space, diff in zip(faces.json["spaces"], same["spaces"], strict=True):
        where = f"diff, {name_of(space)}"
        for side in ("before", "after"):
            check.same(f"{where}: {side}", (diff[side]["peak_bytes"], diff[side]["peak_at_ns"]),
                       (space["peak_bytes"], space["peak_at_ns"]))
        for owners in ("categories", "lines", "layers", "stacks"):
            check.same(f"{where}: {owners} before", sum(one["bytes_before"] for one in diff[owners]),
                       space["peak_bytes"])
            check.same(f"{where}: {owners} change", {one["change_bytes"] for one in diff[owners]} - {0}, set())
        lines = {(one["name"], one["file"]): one["bytes_after"] for one in diff["lines"]}
        for one in space["lines"]:
            check.same(f"{where}: {one['name']}", lines[one["name"], one["file"]], one["bytes"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tidemark", required=True, type=pathlib.Path)
    parser.add_argument("--fixtures", required=True, type=pathlib.Path, help="make_fixtures")
    parser.add_argument("traces", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="tidemark-faces-") as name:
        folder = pathlib.Path(name)
        subprocess.run([options.fixtures.resolve(), folder], check=True)
        for trace in [*sorted(folder.glob("*.db")), *options.traces]:
            before = check.count, len(check.failed)
            faces = Faces(options.tidemark.resolve(), trace)
            for part in (check_page, check_text, check_markdown, check_info, check_sql,
                         check_findings, check_advice, check_diff):
                part(faces, check)
            print(f"{trace.name}: {check.count - before[0]} numbers compared, "
                  f"{len(check.failed) - before[1]} differ")
    print("\n".join(check.failed))
    # With nothing to compare, all would agree.
    return 1 if check.failed or check.count < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
