"""A program that makes a known number of calls of each kind: the trace has exactly those."""

import collections

import harness


class ScriptedCalls(harness.HazardTest):
    def check(self, *arguments):
        recording = self.record(harness.program("scripted_calls"), *arguments)
        self.assertEqual(recording.returncode, 0, recording.stderr)
        self.assert_nothing_lost(recording)
        counts = collections.defaultdict(dict)
        lives = []
        for line in recording.stdout.splitlines():
            if line.startswith("count "):
                head, calls, size = line.split("\t")
                _, pid, kind = head.split(" ", 2)
                counts[int(pid)][kind] = (int(calls), int(size))
            elif line.startswith("live "):
                _, pid, layer, time_ns, live = line.split()
                lives.append((int(pid), layer, int(time_ns), int(live)))
        self.assertTrue(counts and lives)
        ours = ("alloc_stack_id in (select stack_id from frame where depth = 0 and "
                "function like 'scripted::do\\_%' escape '\\')")
        by_pid = collections.defaultdict(dict)
        for row in recording.sql(
                "select p.pid, a.api, count(*) calls, sum(a.size) bytes, "
                "count(a.free_ns) freed, sum(a.size) filter (where a.free_ns is not null) freed_bytes, "
                "min(a.free_ns - a.alloc_ns) shortest "
                f"from allocation a join process p on p.id = a.process_id where {ours} "
                "group by p.pid, a.api"):
            by_pid[row["pid"]][row["api"]] = row
        self.assertEqual(set(by_pid), set(counts))
        for pid, kinds in counts.items():
            rows = by_pid[pid]
            for kind, (calls, size) in kinds.items():
                if kind in ("release", "munmap call"):
                    continue
                self.assertEqual((rows[kind]["calls"], rows[kind]["bytes"]), (calls, size), kind)
                self.assertEqual(rows[kind]["freed"], calls, f"{kind}: each was freed")
                self.assertGreaterEqual(rows[kind]["shortest"], 0, kind)
            heap = [row for api, row in rows.items() if api not in ("mmap", "mremap", "munmap")]
            self.assertEqual(
                (sum(row["freed"] for row in heap), sum(row["freed_bytes"] for row in heap)),
                kinds["release"])
        start = recording.start_ns()
        for pid, layer, time_ns, live in lives:
            at = time_ns - start
            self.assertEqual(
                recording.value(
                    "select coalesce(sum(a.size), 0) from allocation a join process p "
                    f"on p.id = a.process_id where p.pid = {pid} and a.layer = '{layer}' and {ours} "
                    f"and a.alloc_ns <= {at} and (a.free_ns is null or a.free_ns > {at})"),
                live, f"pid {pid} {layer} at {at}")
        return recording

    def test_one_thread(self):
        self.check("1", "20")

    def test_threads_that_free_each_others_blocks(self):
        self.check("8", "60")

    def test_children_by_fork_and_by_exec_with_nothing_inherited(self):
        recording = self.check("4", "20", "children")
        self.assertEqual(recording.value("select count(distinct pid) from process"), 3)

    def test_no_two_blocks_of_a_process_share_an_address_at_one_time(self):
        recording = self.check("8", "60")
        rows = recording.sql("select process_id, layer, address, alloc_ns, free_ns from allocation "
                             "where layer = 'heap' order by process_id, address, alloc_ns")
        for before, after in zip(rows, rows[1:]):
            if (before["process_id"], before["address"]) == (after["process_id"], after["address"]):
                self.assertIsNotNone(before["free_ns"], before)
                self.assertLessEqual(before["free_ns"], after["alloc_ns"], (before, after))


if __name__ == "__main__":
    harness.main()
