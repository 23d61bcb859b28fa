"""Rights given up while running, another root, another pid namespace, another user."""

import os
import re
import shutil
import subprocess

import harness


class Sandbox(harness.HazardTest):
    def record_sandbox(self, *arguments, **kwargs):
        return self.record_unchanged(harness.program("sandbox"), *arguments, **kwargs)

    def test_strict_seccomp(self):
        """Not even the time may be asked for: the kernel takes the time stamp counter away too."""
        recording = self.record_sandbox("strict")
        self.assertEqual((recording.returncode, recording.stdout), (3, "strict\n"))
        self.assert_consistent(recording)
        self.assert_pairs(recording, _1001=20000, _1002=10)

    def test_a_seccomp_filter_that_kills(self):
        recording = self.record_sandbox("filter")
        self.assertEqual((recording.returncode, recording.stdout), (4, "filtered\n"))
        self.assert_consistent(recording)
        self.assert_pairs(recording, _1001=20000, _1002=10)

    def test_another_user(self):
        if not harness.root("becoming another user"):
            self.skipTest("becoming another user needs root")
        os.chmod(self.folder.name, 0o755)
        recording = self.record_sandbox("user")
        self.assertEqual(recording.stdout, "as another user: 5\n")
        # What it executes cannot open what belongs to us; that is said, not hidden.
        self.assert_consistent(recording, expected=["processes_not_recorded"],
                               but=["frees_of_inherited_memory"])
        self.assert_pairs(recording, _1001=100, _1002=100)

    def make_root(self):
        """A folder with the idle program and the libraries that it needs; ours is not among them."""
        folder = self.path("root")
        program = harness.program("limits")
        shown = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in re.findall(r"(/\S+) \(0x", shown):
            os.makedirs(folder + os.path.dirname(path), exist_ok=True)
            shutil.copy(path, folder + path)
        shutil.copy(program, os.path.join(folder, "program"))
        return folder

    def test_another_root(self):
        """There is no library of ours there: the loader would complain about it in the program's
        output. And no /proc."""
        if not harness.root("chroot"):
            self.skipTest("chroot needs root")
        recording = self.record_sandbox("root", self.make_root())
        self.assertEqual(recording.stdout, "done\nin another root: 0\n")
        self.assertNotIn("ld.so", recording.stderr)
        self.assert_consistent(recording, expected=["processes_not_recorded"],
                               but=["frees_of_inherited_memory"])
        self.assertEqual(recording.losses("error"), {"processes_not_recorded": 1})
        self.assert_pairs(recording, _1001=100, _1002=100)

    def record_in_pid_namespace(self, *options):
        return self.record_unchanged("unshare", "--pid", "--fork", *options,
                                     harness.program("idle_thread"))

    def check_idle_thread(self, recording):
        self.assertEqual(recording.stdout, "pid small\n")
        self.assert_consistent(recording, but=["frees_of_inherited_memory"])
        self.assert_pairs(recording, _1001=100, _1002=100, _1004=100)
        self.assertEqual(recording.value("select count(*) from process where command like "
                                         "'%/idle_thread' and command not like 'unshare%'"), 1)

    def test_another_pid_namespace(self):
        if not harness.root("a pid namespace"):
            self.skipTest("a pid namespace needs root")
        self.check_idle_thread(self.record_in_pid_namespace())

    def test_two_pid_namespaces_with_the_same_pids(self):
        if not harness.root("a pid namespace"):
            self.skipTest("a pid namespace needs root")
        program = harness.program("limits")
        recording = self.record_unchanged(
            "sh", "-c", 'for i in 1 2; do unshare --pid --fork sh -c \'sleep 0.3; "$0"; exit 3\' '
            '"$0" & done; wait; echo all', program)
        self.assertEqual(recording.stdout, "done\ndone\nall\n")
        self.assert_consistent(recording, but=["frees_of_inherited_memory"])
        self.assert_pairs(recording, _1001=400)

    def test_another_pid_namespace_with_its_own_proc(self):
        """What is executed there cannot find our shared memory by the collector's number."""
        if not harness.root("a pid namespace"):
            self.skipTest("a pid namespace needs root")
        recording = self.record_in_pid_namespace("--mount-proc")
        self.assertEqual(recording.stdout, "pid small\n")
        self.assert_consistent(recording, but=["frees_of_inherited_memory"],
                               expected=["processes_not_recorded"])


if __name__ == "__main__":
    harness.main()
