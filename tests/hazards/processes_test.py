"""Children of every kind are recorded, whatever they inherit; parents and children are told apart."""

import os
import subprocess
import sys
import unittest

import harness


class Processes(harness.HazardTest):
    def assert_pairs_of_one_process(self, recording, sizes, count):
        rows = recording.sql(
            "select size, count(*) n, count(free_ns) freed, count(distinct process_id) processes "
            f"from allocation where api = 'malloc' and size in ({','.join(map(str, sizes))}) "
            "group by size")
        self.assertEqual([tuple(row.values()) for row in rows],
                         [(size, count, count, 1) for size in sorted(sizes)])

    def test_every_way_to_make_a_child(self):
        recording = self.record_unchanged(harness.program("children"))
        self.assertEqual(recording.stdout.splitlines(), [
            "fork: exit 11", "_Fork: exit 12", "raw clone: exit 13", "vfork: exit 14",
            "clone: exit 15", "clone with a stack: exit 16", "posix_spawn: exit 14",
            "daemon: exit 14", "chain: exit 14", "no such program: exit 17"])
        # The shells of the chain may free what they inherited over an exec-less fork.
        self.assert_consistent(recording, but=["frees_of_inherited_memory"])
        self.assert_pairs_of_one_process(recording, range(1001, 1012), 100)
        # Only the child that shares its parent's memory is no process of its own.
        parent = recording.value("select min(id) from process")
        self.assertEqual(
            recording.sql("select distinct size from allocation where api = 'malloc' and "
                          f"size between 1001 and 1011 and process_id = {parent}"),
            [{"size": 1005}])
        self.assertEqual(
            recording.value("select count(*) from process where parent_id is null"), 1)

    def test_without_the_heap_nothing_stands_before_malloc(self):
        """Children are told apart all the same, by handlers of fork and by exec."""
        script = ("import os, subprocess, sys\n"
                  "ours = {os.path.basename(line.split()[-1]) for line in open('/proc/self/maps')\n"
                  "        if '/libtidemark_' in line}\n"
                  "print(*ours, flush=True)\n"
                  "child = os.fork()\n"
                  "if child == 0: os._exit(3)\n"
                  "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)\n"
                  "print(subprocess.run(sys.argv[1:], env={}).returncode, flush=True)\n")
        command = (sys.executable, "-c", script, harness.program("children"), "allocate", "1001")
        recording = self.record(*command, options=("--host=off",))
        self.assertEqual(recording.stdout, "libtidemark_preload_device.so\n3\n14\n",
                         recording.stderr)
        self.assert_nothing_lost(recording)
        self.assertEqual(recording.value("select count(*) from process"), 3)
        self.assertEqual(recording.value("select count(*) from allocation"), 0)

        exported = subprocess.run(["nm", "-D", "--defined-only", os.path.join(
            os.path.dirname(harness.TIDEMARK), "..", "lib", "tidemark",
            "libtidemark_preload_device.so")], capture_output=True, text=True, check=True).stdout
        names = {line.split()[-1].split("@")[0] for line in exported.splitlines()}
        self.assertIn("munmap", names)
        for name in ("malloc", "free", "calloc", "realloc", "posix_memalign", "_Znwm", "_ZdlPv"):
            self.assertNotIn(name, names)

    def test_a_thousand_processes(self):
        recording = self.record_unchanged(harness.program("children"), "thousand")
        self.assertEqual(recording.stdout, "right: 1000\n")
        self.assert_consistent(recording, but=["frees_of_inherited_memory"])
        self.assertEqual(recording.value("select count(*) from process"), 1001)
        self.assertEqual(
            recording.sql("select count(*) n, count(free_ns) freed, count(distinct process_id) p "
                          "from allocation where size = 1012"),
            [{"n": 10000, "freed": 10000, "p": 1000}])

    def test_a_program_behind_wrappers_and_python(self):
        """heaptrack loses LD_PRELOAD at the wrapper's exec: 89 allocations of bash, nothing else."""
        wrapper = self.path("wrapper")
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\nexec env -i "$@"\n')
        os.chmod(wrapper, 0o755)
        script = ("import subprocess, sys\n"
                  "result = subprocess.run(sys.argv[1:], close_fds=True, env={}, cwd='/')\n"
                  "print('child', result.returncode, flush=True)\n")
        recording = self.record_unchanged(wrapper, sys.executable, "-E", "-c", script,
                                          harness.program("children"), "allocate", "1001")
        self.assertEqual(recording.stdout, "child 14\n")
        self.assert_consistent(recording, but=["frees_of_inherited_memory"])
        self.assert_pairs_of_one_process(recording, [1001], 100)

    def test_what_the_user_preloads_stays(self):
        library = harness.program("libpreloaded.so")
        environment = {**os.environ, "LD_PRELOAD": library}
        command = [harness.program("children"), "allocate", "1001"]
        bare = subprocess.run(command, env=environment, capture_output=True, text=True,
                              timeout=harness.TIMEOUT_S)
        self.assertEqual((bare.returncode, bare.stdout), (14, "counted 100\n"))
        # Into the command only: the library is not for `tidemark record` itself.
        wrapped = ["env", f"LD_PRELOAD={library}", *command]
        recording = self.record(*wrapped)
        self.assertEqual((recording.returncode, recording.stdout), (14, "counted 100\n"),
                         recording.stderr)
        self.assert_consistent(recording)
        self.assert_pairs_of_one_process(recording, [1001], 100)

    @unittest.skipIf(harness.SANITIZED, "the sanitizer of `record` must be the first library in it")
    def test_what_is_preloaded_into_record_is_passed_on_to_the_command(self):
        library = harness.program("libpreloaded.so")
        environment = {**os.environ, "LD_PRELOAD": library}
        command = [harness.program("children"), "allocate", "1001"]
        recording = self.record(*command, env=environment)
        self.assertEqual(recording.returncode, 14, recording.stderr)
        self.assertIn("counted 100\n", recording.stdout)
        self.assert_consistent(recording)
        self.assert_pairs_of_one_process(recording, [1001], 100)


if __name__ == "__main__":
    harness.main()
