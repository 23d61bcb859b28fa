"""Little of everything: descriptors, address space, shared memory, no place for temporary files."""

import os
import resource
import subprocess
import unittest

import harness


class Limits(harness.HazardTest):
    def limited(self, which, soft, *arguments):
        """The limit is set between us and the command: `tidemark record` itself is not limited."""
        limit = {"AS": "-v", "NOFILE": "-n", "STACK": "-s", "FSIZE": "-f", "DATA": "-d"}[which]
        return self.record_unchanged("sh", "-c", f'ulimit {limit} {soft}; exec "$0" "$@"',
                                     harness.program("limits"), *arguments)

    def test_no_descriptor_left(self):
        recording = self.record_unchanged(harness.program("limits"), "descriptors")
        self.assertEqual(recording.stdout, "Too many open files, child 3, the same again\n")
        self.assert_consistent(recording, but=["frees_of_inherited_memory"])
        self.assert_pairs(recording, _1001=100, _1002=100)

    def test_an_address_space_that_ends_while_running(self):
        recording = self.record_unchanged(harness.program("limits"), "address_space")
        self.assertEqual(recording.stdout, "refused 20, child 7\n")
        self.assert_pairs(recording, _1001=100, _1003=100)
        # What failed is in no trace.
        self.assertEqual(
            recording.value("select count(*) from allocation where size > 60000000"), 0)
        self.assert_consistent(recording, but=["frees_of_inherited_memory"])
        self.assert_pairs(recording, _1002=100)

    def test_a_small_address_space_from_the_start(self):
        for kilobytes in (200_000, 2_000_000):
            with self.subTest(kilobytes=kilobytes):
                recording = self.limited("AS", kilobytes)
                self.assertEqual(recording.stdout, "done\n")
                self.assert_consistent(recording, but=["frees_of_inherited_memory"])
                self.assert_pairs(recording, _1001=200)

    def test_few_descriptors_small_stack_small_files_little_data(self):
        for which, soft in (("NOFILE", 6), ("STACK", 128), ("FSIZE", 1), ("DATA", 400_000)):
            with self.subTest(which=which):
                recording = self.limited(which, soft)
                self.assertEqual(recording.stdout, "done\n")
                self.assert_consistent(recording, but=["frees_of_inherited_memory"])
                self.assert_pairs(recording, _1001=200)

    def test_an_address_space_too_small_for_us(self):
        """The program fits, our rings beside it would not leave it enough: it runs as ever, and the
        trace says what is missing."""
        for which, soft in (("AS", 30_000), ("AS", 60_000), ("DATA", 20_000)):
            with self.subTest(which=which, soft=soft):
                recording = self.limited(which, soft)
                self.assertEqual(recording.stdout, "done\n")
                self.assertEqual(recording.losses("error"), {"processes_not_recorded": 1})

    def in_a_mount_namespace(self, prepare):
        """`prepare` may hide /tmp: our folder is /mnt there."""
        if not harness.root("mounting"):
            self.skipTest("mounting needs root")
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                   f'mount --bind {self.folder.name} /mnt; {prepare}; exec "$@"', "sh"]
        program = [harness.program("limits")]
        bare = subprocess.run(command + program, capture_output=True, text=True,
                              timeout=harness.TIMEOUT_S)
        self.assertEqual(bare.returncode, 0, bare.stderr)
        recorded = subprocess.run(
            command + [harness.TIDEMARK, "record", "-o", "/mnt/mounted.db", "--"] + program,
            capture_output=True, text=True, timeout=harness.TIMEOUT_S)
        self.assertEqual((recorded.returncode, recorded.stdout), (0, bare.stdout), recorded.stderr)
        recording = harness.Recording(self.path("mounted.db"), recorded)
        self.assert_consistent(recording)
        self.assert_pairs(recording, _1001=200)

    def test_64_mb_of_shared_memory_and_less(self):
        for size in ("64m", "64k"):
            with self.subTest(size=size):
                self.in_a_mount_namespace(f"mount -t tmpfs -o size={size} tmpfs /dev/shm")

    def test_temporary_files_nowhere(self):
        self.in_a_mount_namespace(
            "for folder in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o ro tmpfs $folder; done")

    def assert_one_clear_line(self, which, soft, word):
        result = subprocess.run(
            [harness.TIDEMARK, "record", "-o", self.path("limited.db"), "--", "/bin/true"],
            capture_output=True, text=True, timeout=harness.TIMEOUT_S,
            preexec_fn=lambda: resource.setrlimit(which, (soft, soft)))
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertIn(word, result.stderr)

    def test_our_own_file_size_limit_gets_one_clear_line(self):
        self.assert_one_clear_line(resource.RLIMIT_FSIZE, 1 << 20, "ulimit -f")

    @unittest.skipIf(harness.SANITIZED, "a sanitizer's shadow alone needs terabytes of addresses")
    def test_our_own_address_space_limit_gets_one_clear_line(self):
        self.assert_one_clear_line(resource.RLIMIT_AS, 1 << 30, "ulimit -v")


if __name__ == "__main__":
    harness.main()
