"""fork while threads allocate, a thread in the child, thousands of short threads: nothing hangs,
nothing is lost, every process and thread is told apart."""

import harness


class ForkAndThreads(harness.HazardTest):
    def test_every_child_and_every_short_thread_is_complete(self):
        recording = self.record_unchanged(harness.program("fork_and_threads"))
        self.assertIn("children that went wrong: 0", recording.stdout)
        self.assertIn("bad_alloc", recording.stdout)
        self.assert_nothing_lost(recording)
        self.assertEqual(recording.value("select count(*) from process"), 61)
        per_child = recording.sql(
            "select process_id, count(*) n, count(free_ns) freed from allocation "
            "where size = 5051 group by process_id")
        self.assertEqual([(row["n"], row["freed"]) for row in per_child], [(1000, 1000)] * 60)
        self.assertEqual(
            recording.sql("select count(*) n, count(free_ns) freed, "
                          "count(distinct thread_id) threads from allocation where size = 5077"),
            [{"n": 2000, "freed": 2000, "threads": 2000}])
        self.assertEqual(
            recording.value("select count(*) from allocation where size >= 1152921504606846976"), 0)


if __name__ == "__main__":
    harness.main()
