"""The Python frames in a trace are those that the interpreter itself saw: functions, files, lines,
order, and their place among native frames. For every interpreter that is found (pythons.py)."""

import json
import os
import unittest

import harness
import pythons

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "programs", "python_stacks.py")
STRESS = os.path.join(HERE, "programs", "python_stress.py")
# Too deep to be recorded whole: the innermost frames must be right, at least so many.
DEEP = {"very deep": 120, "deep": 120}
STRESS_RUNS = 20

PYTHONS = pythons.supported()


def stacks_by_size(recording, sizes):
    """size → frames of the first allocation of that size, innermost first."""
    # A bytearray has a byte more than was asked for.
    wanted = ", ".join(str(size + more) for size in sizes for more in (0, 1))
    rows = recording.sql(
        "select a.size, f.depth, f.kind, f.function, f.file, f.line, f.module from "
        "(select size, min(alloc_stack_id) as stack_id from allocation "
        f" where size in ({wanted}) group by size) a "
        "join frame f on f.stack_id = a.stack_id order by a.size, f.depth")
    stacks = {}
    for row in rows:
        stacks.setdefault(row["size"], []).append(row)
    return {size: stacks.get(size) or stacks.get(size + 1, []) for size in sizes}


def python_frames(stack):
    return [[row["function"], row["file"], row["line"]] for row in stack if row["kind"] == "python"]


class PythonStacks(harness.HazardTest):
    def test_frames_are_those_that_the_interpreter_saw(self):
        for python in PYTHONS:
            with self.subTest(python=python.name):
                self.check_frames(python)

    def check_frames(self, python):
        recording = self.record_unchanged(python.path, PROGRAM, trace=f"{python.name}.db")
        self.assert_nothing_lost(recording)
        self.assertEqual(recording.value("select value from meta where key = 'python.stacks'"),
                         "yes")
        version = recording.value("select value from meta where key = 'python.version'")
        self.assertTrue(python.name.rstrip("t").startswith(version), version)
        expected = [json.loads(line) for line in recording.stdout.splitlines()]
        self.assertGreater(len(expected), 70)
        stacks = stacks_by_size(recording, [entry["size"] for entry in expected])
        for entry in expected:
            got = python_frames(stacks[entry["size"]])
            with self.subTest(python=python.name, scenario=entry["scenario"]):
                if entry["scenario"] in DEEP:
                    self.assertGreaterEqual(len(got), DEEP[entry["scenario"]])
                    self.assertEqual(got, entry["frames"][:len(got)])
                else:
                    self.assertEqual(got, entry["frames"])
        self.check_order(python, expected, stacks)

    def check_order(self, python, expected, stacks):
        """Native frames stand where C code called Python or was called by it."""
        by_scenario = {entry["scenario"]: stacks[entry["size"]] for entry in expected}
        for scenario, stack in by_scenario.items():
            if scenario in DEEP:
                continue
            with self.subTest(python=python.name, scenario=scenario):
                # malloc was called by native code; the interpreter was started by native code.
                self.assertEqual((stack[0]["kind"], stack[-1]["kind"]), ("native", "native"))
                self.assertNotIn("_PyEval_EvalFrameDefault", [row["function"] for row in stack])
        # Names of functions and files of C libraries are not always there; modules are.
        stack = by_scenario["qsort"]
        kinds = [self.kind_of(row) for row in stack]
        self.assertIn(["compare", "libc", "through_libc"], self.subsequences(kinds))
        for scenario, inner, outer in (("sorted key", "<lambda>", "callbacks"),
                                       ("json default", "<lambda>", "iterencode"),
                                       ("class body", "Counting", "<module>")):
            names = [row["function"].split(".")[-1] if row["kind"] == "python" else None
                     for row in by_scenario[scenario]]
            between = names[names.index(inner) + 1:names.index(outer)]
            self.assertTrue(between and not any(between), f"{scenario}: {names}")
        if python.version >= (3, 11):  # Python calls Python without C between
            names = [row["kind"] for row in by_scenario["recursion"]]
            first = names.index("python")
            self.assertEqual(names[first:first + 13], ["python"] * 13)

    @staticmethod
    def kind_of(row):
        if row["kind"] == "python":
            return row["function"].split(".")[-1]
        return "libc" if os.path.basename(row["module"] or "").startswith("libc.so") else "native"

    @staticmethod
    def subsequences(kinds):
        """Runs of three different kinds, without what the call interface puts between."""
        kept = []
        for kind in kinds:
            if kind != "native" and (not kept or kept[-1] != kind):
                kept.append(kind)
        return [kept[i:i + 3] for i in range(len(kept) - 2)]

    def test_an_interpreter_inside_another_program(self):
        shared = [python for python in PYTHONS if python.library]
        print("with a shared library, tested inside a program:",
              ", ".join(python.name for python in shared) or "none is here")
        for python in shared:
            with self.subTest(python=python.name):
                self.check_embedded(python)

    def check_embedded(self, python):
        recording = self.record_unchanged(
            harness.program("python_embedded"), python.library, trace=f"{python.name}.db",
            env={**os.environ, "PYTHONHOME": python.prefix})
        self.assert_nothing_lost(recording)
        run = [["inner", "<string>", 2], ["outer", "<string>", 6]]
        expected = {6100001: [], 6400001: [], 6700001: [], 6800001: [],
                    6200000: [*run, ["<module>", "<string>", 1]],
                    6300000: [*run, ["<module>", "<string>", 1]],
                    6500000: [*run, ["<module>", "<string>", 2]],
                    6600000: [*run, ["<module>", "<string>", 2]]}
        stacks = stacks_by_size(recording, expected)
        for size, frames in expected.items():
            self.assertTrue(stacks[size], size)
            self.assertEqual(python_frames(stacks[size]), frames, size)

    def test_native_stacks_on_request(self):
        python = PYTHONS[0]
        recording = self.record(python.path, "-c", "bytearray(5_000_000)",
                                options=("--stacks=native",))
        self.assertEqual(recording.value("select count(*) from frame where kind = 'python'"), 0)

    def test_interpreters_that_cannot_be_read_say_so(self):
        others = [python for python in pythons.find() if not python.supported]
        print("not supported, native frames expected:",
              ", ".join(python.name for python in others) or "none is here")
        for python in others:
            with self.subTest(python=python.name):
                recording = self.record_unchanged(python.path, "-c", "print('hello')",
                                                  trace=f"{python.name}.db")
                self.assertEqual(recording.losses("info").get("python_unsupported"), 1)
                self.assertEqual(
                    recording.value("select count(*) from frame where kind = 'python'"), 0)
                self.assertTrue(python.name.startswith(
                    recording.value("select value from meta where key = 'python.version'")))

    def test_threads_garbage_collection_and_finalization_under_load(self):
        for run in range(STRESS_RUNS):
            python = PYTHONS[run % len(PYTHONS)]
            with self.subTest(python=python.name, run=run):
                recording = self.record_unchanged(
                    python.path, STRESS, trace="stress.db",
                    env={**os.environ, "PYTHONMALLOC": "malloc"})
                self.assert_nothing_lost(recording)


if __name__ == "__main__":
    harness.main()
