"""Allocators that are not libc's: given by the user, linked in, or the program's own."""

import os
import subprocess

import harness

LIBRARIES = ("libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2")

# Five times work() in allocators.cpp.
EXPECTED = {
    (1001, "malloc"): 500, (1002, "calloc"): 500, (1003, "realloc"): 500,
    (1004, "posix_memalign"): 500, (1024, "aligned_alloc"): 500, (1006, "memalign"): 500,
    (1008, "reallocarray"): 500, (1015, "reallocarray"): 500, (1007, "operator new"): 500,
    (1009, "operator new[](align)"): 500, (1010, "operator new"): 500,
}


class Allocators(harness.HazardTest):
    def counts(self, recording):
        rows = recording.sql(
            "select size, api, count(*) n, count(free_ns) freed from allocation "
            "where layer = 'heap' and size between 1001 and 1024 group by 1, 2")
        return {(row["size"], row["api"]): (row["n"], row["freed"]) for row in rows}

    def test_libc(self):
        recording = self.record_unchanged(harness.program("allocators"))
        self.assert_consistent(recording)
        counts = self.counts(recording)
        for key, count in EXPECTED.items():
            self.assertEqual(counts.get(key), (count, count), key)

    def test_preloaded(self):
        for library in LIBRARIES:
            with self.subTest(library=library):
                path = os.path.join("/usr/lib/x86_64-linux-gnu", library)
                self.assertTrue(os.path.exists(path),
                                f"{path} is missing: scripts/test installs it")
                recording = self.record_unchanged("env", f"LD_PRELOAD={path}",
                                                  harness.program("allocators"))
                self.assert_consistent(recording)
                counts = self.counts(recording)
                for key, count in EXPECTED.items():
                    self.assertEqual(counts.get(key), (count, count), key)

    def test_a_static_jemalloc(self):
        """Its malloc and operator new lie in the program itself, before any library: they cannot be
        hooked, and that is said."""
        recording = self.record_unchanged(harness.program("static_jemalloc"))
        self.assert_consistent(recording, expected=["allocators_not_hooked"])
        self.assertEqual(self.counts(recording), {})

    def test_a_malloc_of_its_own(self):
        recording = self.record_unchanged(harness.program("own_malloc"))
        self.assertEqual(recording.stdout, "its own, mine, 7\n")
        self.assert_consistent(recording, expected=["allocators_not_hooked"])

    def test_a_program_under_address_sanitizer(self):
        """Its runtime refuses to start behind another library, unless told. Its malloc comes after
        ours, so that everything is recorded as ever."""
        program = harness.program("sanitized")
        bare = subprocess.run([program], capture_output=True, text=True, timeout=harness.TIMEOUT_S)
        self.assertEqual((bare.returncode, bare.stdout), (0, "sanitized\n"), bare.stderr)
        recording = self.record_unchanged(program)
        self.assert_consistent(recording)
        self.assertEqual(
            recording.sql("select count(*) n, count(free_ns) freed from allocation "
                          "where size = 1001 and api = 'malloc'"), [{"n": 400, "freed": 400}])

    def test_its_faults_are_still_found(self):
        program = harness.program("sanitized")
        bare = subprocess.run([program, "fault"], capture_output=True, text=True,
                              timeout=harness.TIMEOUT_S)
        self.assertNotEqual(bare.returncode, 0)
        recording = self.record(program, "fault")
        self.assertEqual(recording.returncode, bare.returncode)
        for words in ("heap-buffer-overflow", "1 bytes after 1002-byte region", "sanitized.cpp"):
            if words in bare.stderr:
                self.assertIn(words, recording.stderr)
        self.assertIn("heap-buffer-overflow", recording.stderr)


if __name__ == "__main__":
    harness.main()
