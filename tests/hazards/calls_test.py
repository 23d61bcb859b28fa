"""Calls that fail, that ask for nothing, that overlap: the program gets what it got without us, and
the trace holds what happened and nothing of what did not."""

import harness


class Calls(harness.HazardTest):
    def live(self, recording, where):
        return recording.sql("select size, api from allocation where free_ns is null and "
                             f"process_id = 1 and {where}")

    def counts(self, recording):
        return {(row["size"], row["api"]): (row["n"], row["freed"]) for row in recording.sql(
            "select size, api, count(*) n, count(free_ns) freed from allocation group by 1, 2")}

    def test_heap(self):
        recording = self.record_unchanged(harness.program("calls"), "heap")
        self.assertNotIn("wrong", recording.stdout)
        self.assert_consistent(recording)
        counts = self.counts(recording)
        self.assertEqual(counts[(0, "malloc")], (1, 1))
        self.assertEqual(counts[(0, "realloc")], (1, 1), "only realloc(nullptr, 0) makes a block")
        self.assertEqual(counts[(1001, "malloc")], (1, 1))
        self.assertEqual(counts[(1001, "reallocarray")], (1, 1))
        self.assertEqual(counts[(1003, "posix_memalign")], (1, 1))
        self.assertEqual(counts[(1004, "malloc")], (1, 1))
        self.assertEqual(counts[(1005, "valloc")], (1, 1))
        self.assertEqual(counts[(13, "malloc")][0], counts[(13, "malloc")][1], "strdup")
        self.assertNotIn((1002, "posix_memalign"), counts)
        self.assertEqual(recording.value("select count(*) from allocation where size > 10000000"), 0)

    def test_new(self):
        recording = self.record_unchanged(harness.program("calls"), "new")
        self.assert_consistent(recording)
        counts = self.counts(recording)
        self.assertEqual(counts[(1006, "malloc")], (30, 30), "in the new_handler")
        self.assertEqual(counts[(1007, "malloc")], (10, 10))
        self.assertEqual(counts[(1008, "operator new")], (10, 10))
        self.assertEqual(counts[(1009, "operator new[]")], (10, 10))
        self.assertEqual(counts[(1010, "operator new(align)")], (10, 10))
        self.assertEqual(counts[(1536, "operator new[](align)")], (10, 10))
        self.assertEqual(recording.value("select count(*) from allocation where size > 10000000"), 0)

    def test_map(self):
        recording = self.record_unchanged(harness.program("calls"), "map")
        self.assertNotIn("wrong", recording.stdout)
        # "twice" unmaps what is not mapped, and so would the mremap that is refused.
        self.assert_consistent(recording, expected=["frees_of_unknown_memory"])
        self.assertEqual(recording.losses("info")["frees_of_unknown_memory"], 2)
        self.assertEqual(self.live(recording, "layer = 'os'"), [])
        self.assertEqual(self.counts(recording)[(1011, "malloc")], (100, 100))
        self.assertEqual(recording.value("select count(*) from allocation where size >= 1 << 39"), 0)


class FreeStacks(harness.HazardTest):
    """--free-stacks=off: who allocated each block is there, who freed it is not."""

    def stacks(self, *options):
        recording = self.record_unchanged(harness.program("children"), "allocate", "1001",
                                          options=options)
        self.assert_consistent(recording)
        self.assert_pairs(recording, _1001=100)
        return recording.sql("select count(alloc_stack_id) allocs, count(free_stack_id) frees "
                             "from allocation where size = 1001")

    def test_on_and_off(self):
        self.assertEqual(self.stacks(), [{"allocs": 100, "frees": 100}])
        self.assertEqual(self.stacks("--free-stacks=off"), [{"allocs": 100, "frees": 0}])


if __name__ == "__main__":
    harness.main()
