"""The targets' table and what stands behind it, as Markdown and as JSON."""

import collections
import json

MIB = 1 << 20


class Report:
    def __init__(self, machine):
        self.data = collections.defaultdict(dict)
        self.data["machine"] = machine
        self.checks = []  # (what, recorder, expected, wrong)
        self.left_out = []

    def checked(self, what, recorder, expected, wrong):
        self.checks.append((what, recorder, expected, wrong))

    def failures(self):
        """Ours must be exact. A peer's count only has to be plausible: it may count its own start."""
        return [f"{what}: {recorder} holds {wrong.allocations:+d} allocations and {wrong.frees:+d} "
                f"frees beyond the {expected.allocations} and {expected.frees} that were made"
                for what, recorder, expected, wrong in self.checks
                if recorder.startswith("tidemark") and (wrong.allocations or wrong.frees)]

    def to_json(self):
        checks = [{"what": what, "recorder": recorder, "allocations": expected.allocations,
                   "frees": expected.frees, "wrong_allocations": wrong.allocations,
                   "wrong_frees": wrong.frees} for what, recorder, expected, wrong in self.checks]
        return json.dumps({**self.data, "checks": checks, "left_out": self.left_out}, indent=1)

    # --- Markdown ---

    def markdown(self):
        parts = ["# Host recording beside its peers", self._machine(), self._targets(),
                 self._pairs(), self._programs(), self._sizes(), self._collector(), self._memory(),
                 self._checks()]
        if self.left_out:
            parts.append("## Left out\n\n" + "\n".join(f"- {what}" for what in self.left_out))
        return "\n\n".join(part for part in parts if part) + "\n"

    def _machine(self):
        m = self.data["machine"]
        return (f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['memory_gib']} GiB, "
                f"{m['date']}. {'; '.join(m['versions'])}. Load average {m['load_before']} before "
                f"and {m.get('load_after', '?')} after: what others did here at the same time is in "
                "the wall times (less in processor times, not in instructions); sides of one round "
                "ran one after the other. Figures are medians, in "
                "parentheses least and most of the rounds.")

    def _targets(self):
        rows = [*self._target_pairs(), *self._target_two_threads(), *self._target_python(),
                *self._target_bytes(), *self._target_collector(), *self._target_memory(),
                *self._target_reading()]
        return "## Targets\n\n" + _table(
            ["what", "target", "ours", "peer", "ours / peer", "met"], rows)

    def _added(self, shape, name, key="added_ns"):
        entry = self.data["pairs"].get(shape, {}).get(name)
        return None if entry is None else entry[key]

    def _target_pairs(self):
        for key, kind in (("added_ns", "wall"), ("added_cpu_ns", "the program's processor time")):
            peer = self._added("constant", "heaptrack", key)
            for name, stacks in (("tidemark", "full stacks"),
                                 ("tidemark --free-stacks=off", "stacks as heaptrack's, not of frees")):
                ours = self._added("constant", name, key)
                if ours is None:
                    continue
                ratio = peer and ours["median"] / peer["median"]
                yield [f"added time per malloc+free pair, 1 thread, 17 frames, {stacks}: {kind}",
                       "≤ 1/4 of heaptrack's, ≤ 150 ns", f"{_span(ours)} ns",
                       f"heaptrack {_span(peer)} ns" if peer else "–", _ratio(ratio),
                       _met(ours["median"] <= 150 and (ratio is None or ratio <= 0.25))]

    def _target_two_threads(self):
        for shape, figures in self.data["two_threads"].items():
            ours = figures["tidemark"]
            peer = figures.get("heaptrack")
            ratio = peer and ours["median"] / peer["median"]
            yield [f"2 threads, M pairs a second in total ({shape})", "≥ 5 × heaptrack's",
                   _span(ours, 2), f"heaptrack {_span(peer, 2)}" if peer else "–", _ratio(ratio),
                   _met(ratio is not None and ratio >= 5)]

    def _target_python(self):
        python = self.data["python"]
        for name, allowed, text in (("memray", 0.5, "≤ 1/2 of memray's"),
                                    ("heaptrack", 1.0, "≤ heaptrack's")):
            for key, kind in (("wall", "wall"), ("cpu", "the program's processor time")):
                if name not in python or "tidemark" not in python:
                    continue
                ours, peer = (python[side][f"work_{key}_slowdown"] for side in ("tidemark", name))
                ratio = ours["median"] / peer["median"]
                yield [f"CPython, PYTHONMALLOC=malloc: the work against bare, {kind}", text,
                       f"{_span(ours, 2)}×", f"{name} {_span(peer, 2)}×", _ratio(ratio),
                       _met(ratio <= allowed)]

    def _target_bytes(self):
        for what, sizes in self.data["bytes_per_event"].items():
            peer = sizes.get("heaptrack")
            yield [f"trace bytes per event: {what} ({sizes['events'] / 1e6:.1f} M events)", "≤ 4",
                   f"{sizes['tidemark']:.2f}", f"heaptrack {peer:.2f}" if peer else "–",
                   _ratio(peer and sizes["tidemark"] / peer), _met(sizes["tidemark"] <= 4)]

    def _target_collector(self):
        for what, figures in self.data["collector"].items():
            if what.startswith("collector_bench"):
                continue
            rate = figures["events_per_cpu_s"]
            yield [f"collector, M events per second and core, end to end: {what}", "≥ 5",
                   f"{rate['median'] / 1e6:.2f}", "–", "–", _met(rate["median"] >= 5e6)]

    def _target_memory(self):
        for threads, row in self.data["memory"].items():
            ours = row["tidemark"]["rss_added"]
            peer = row.get("heaptrack", {}).get("rss_added")
            allowed = (32 + int(threads)) * MIB
            yield [f"memory added to the target (RSS), {threads} thread(s)",
                   f"≤ {allowed // MIB} MiB", f"{ours / MIB:.1f} MiB",
                   f"heaptrack {peer / MIB:.1f} MiB" if peer is not None else "–",
                   _ratio(peer and ours / peer), _met(ours <= allowed)]

    def _target_reading(self):
        reading = self.data["reading"]
        if not reading:
            return
        millions = reading["events"] / 1e6
        for order, scan_s in zip(("in order", "any order"), reading["scan_s"]):
            yield [f"full scan of {millions:.0f} M events, {order}",
                   f"≤ {millions / 25:.2g} s (50 M: 2 s)", f"{scan_s:.2f} s", "no seeking", "–",
                   _met(scan_s <= millions / 25)]
        worst = max(reading["live_set_s"])
        yield [f"live set at any time of {millions:.0f} M events, the slowest of "
               f"{len(reading['live_set_s'])} times", "≤ 0.2 s", f"{worst:.3f} s", "no seeking",
               "–", _met(worst <= 0.2)]

    def _pairs(self):
        rows = []
        for shape, sides in self.data["pairs"].items():
            for name, entry in sides.items():
                rows.append([shape, name, _span(entry["wall_ns_per_pair"]),
                             _span(entry["added_ns"]), _span(entry["added_cpu_ns"]),
                             self._instructions(shape, name)])
        if not rows:
            return ""
        return ("## A malloc and a free, 1 thread, ns\n\n"
                "`programs/pairs.cpp` says what the shapes are. Processor time is the recorded "
                "process's own; instructions are callgrind's, the same at any load.\n\n" +
                _table(["shape", "", "wall per pair", "added wall", "added processor time",
                        "instructions per pair"], rows))

    def _instructions(self, shape, name):
        value = self.data["instructions"].get(shape, {}).get(name)
        return "–" if value is None else f"{value:.0f}"

    def _programs(self):
        rows = []
        table = dict(self.data["programs"])
        if self.data["python"]:
            table["python3 mix.py"] = self.data["python"]
        for what, sides in table.items():
            for name, entry in sides.items():
                rows.append([what, name, _span(entry["wall_s"], 2), _span(entry["slowdown"], 2)])
        return rows and "## Real programs, from start to end\n\n" + _table(
            ["program", "", "wall s, until the trace is closed", "against bare"], rows)

    def _sizes(self):
        rows = [[what, f"{sizes['events']:,}",
                 *(f"{sizes[name]:.2f}" if name in sizes else "–"
                   for name in ("tidemark", "heaptrack", "memray"))]
                for what, sizes in self.data["bytes_per_event"].items()]
        return rows and ("## Bytes of the finished file per event\n\nEvents are allocations and "
                         "frees of the heap. Ours has time (ns), thread and both stacks of each; "
                         "heaptrack's neither time nor thread.\n\n" + _table(
                             ["program", "events", "tidemark", "heaptrack", "memray"], rows))

    def _collector(self):
        rows = [[what, f"{figures['events_per_cpu_s']['median'] / 1e6:.2f}"]
                for what, figures in self.data["collector"].items()]
        return rows and ("## Collector, M events a second and core\n\nEnd to end: processor time "
                         "of `tidemark record` itself, symbols and closing of the trace included. "
                         "collector_bench: merging and pairing alone.\n\n" +
                         _table(["", "M events/s"], rows))

    def _memory(self):
        rows = []
        for threads, row in self.data["memory"].items():
            for name, entry in row.items():
                if name != "bare":
                    rows.append([threads, name, f"{entry['rss_added'] / MIB:.1f}",
                                 f"{entry['pss_added'] / MIB:.1f}"])
        return rows and "## Memory added to the target, MiB\n\n" + _table(
            ["threads", "", "RSS", "PSS"], rows)

    def _checks(self):
        worst = {}
        for what, recorder, expected, wrong in self.checks:
            size = abs(wrong.allocations) + abs(wrong.frees)
            entry = worst.setdefault((what, recorder), [0, expected, size, wrong])
            entry[0] += 1
            if size >= entry[2]:
                entry[1:] = [expected, size, wrong]
        rows = [[what, recorder, count, f"{expected.allocations:,}", f"{wrong.allocations:+d}",
                 f"{expected.frees:,}", f"{wrong.frees:+d}"]
                for (what, recorder), (count, expected, _, wrong) in worst.items()]
        return rows and ("## Events counted\n\nWhat the program (pairs) or an independent counter "
                         "between recorder and libc (others) counted, and by how much the "
                         "recording's number differs, at worst.\n\n" + _table(
                             ["program", "recorder", "runs", "allocations", "off by", "frees",
                              "off by"], rows))


def _table(head, rows):
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in [head, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _span(figure, digits=0):
    return f"{figure['median']:.{digits}f} ({figure['min']:.{digits}f}–{figure['max']:.{digits}f})"


def _ratio(value):
    return "–" if value is None else f"{value:.2f}"


def _met(met):
    return "yes" if met else "no"
