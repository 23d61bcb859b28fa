"""Stacks that are no ordinary stack: coroutines, alternate signal stacks, tiny ones, very deep ones,
and frames that were left by a jump."""

import harness


class Stacks(harness.HazardTest):
    def functions(self, recording, size):
        """How many allocations of `size` bytes there are for each stack, innermost function first,
        with only the named functions of the program itself."""
        rows = recording.sql(
            "select a.id, group_concat(f.function, ' < ') stack from allocation a left join "
            "(select stack_id, depth, function from frame order by stack_id, depth) f "
            f"on f.stack_id = a.alloc_stack_id where a.size = {size} group by a.id")
        counts = {}
        for row in rows:
            counts[row["stack"]] = counts.get(row["stack"], 0) + 1
        return counts

    def assert_every_stack(self, recording, size, count, having=(), lacking=()):
        stacks = self.functions(recording, size)
        self.assertEqual(sum(stacks.values()), count, stacks)
        for stack in stacks:
            self.assertIsNotNone(stack, f"{size}: no stack")
            for word in having:
                self.assertIn(word, stack, size)
            for word in lacking:
                self.assertNotIn(word, stack, size)
        self.assertEqual(
            recording.value(f"select count(*) from allocation where size = {size} and free_ns is null"),
            0)

    def test_coroutines_and_their_freed_stacks(self):
        recording = self.record_unchanged(harness.program("coroutines"))
        self.assertEqual(recording.stdout, "caught 400\n")
        self.assert_consistent(recording)
        # 200 rounds, each coroutine twice a round, five hops; main allocates 7 times a run.
        self.assert_every_stack(recording, 1001, 2000, ["in_first", "first"], ["second", "main"])
        self.assert_every_stack(recording, 2002, 2000, ["in_second", "second"], ["first", "main"])
        self.assert_every_stack(recording, 3003, 2800, ["in_main", "run", "main"],
                                ["first", "second"])

    def test_a_coroutine_without_a_bottom(self):
        recording = self.record_unchanged(harness.program("bottomless_coroutine"))
        self.assert_consistent(recording)
        self.assert_every_stack(recording, 1001, 100, ["work", "entry"], ["main"])
        self.assert_every_stack(recording, 2002, 100, ["main"], ["entry"])

    def test_alternate_signal_stacks_and_a_stack_overflow(self):
        recording = self.record_unchanged(harness.program("signal_stacks"))
        self.assertEqual(recording.stdout, "raised 100, overflows 100\n")
        self.assert_consistent(recording)
        self.assert_every_stack(recording, 1001, 100, ["in_handler", "on_raise", "raises", "work"])
        self.assert_every_stack(recording, 2002, 100, ["in_handler", "on_overflow", "overflow"])
        self.assert_every_stack(recording, 3003, 100, ["work"], ["in_handler", "overflow"])

    def test_the_smallest_stacks(self):
        recording = self.record_unchanged(harness.program("small_stacks"),
                                          harness.program("libreloaded_1.so"))
        self.assertEqual(recording.stdout, "100 threads, library used\n")
        self.assert_consistent(recording)
        self.assert_every_stack(recording, 1001, 1000, ["work"])
        self.assert_every_stack(recording, 2002, 1, ["allocate_and_free", "work_in_a_new_library"])

    def test_very_deep_recursion(self):
        recording = self.record_unchanged(harness.program("deep_recursion"))
        self.assertEqual(recording.stdout, "40001 frames\n")
        self.assert_consistent(recording)
        self.assertGreater(recording.losses("info").get("stacks_truncated", 0), 0,
                           "what is missing of a stack is counted")
        self.assert_every_stack(recording, 1001, 401, ["descend"])
        self.assert_every_stack(recording, 2002, 401, ["descend"])

    def test_handlers_that_interrupt_our_hooks(self):
        recording = self.record_unchanged(harness.program("handlers_and_jumps"), "handle")
        self.assert_consistent(recording)
        self.assert_every_stack(recording, 7 * 4096, 300, ["map_and_unmap", "handle"])
        self.assert_every_stack(recording, 2002, 1000, ["main"])

    def test_handlers_that_jump_out_of_our_hooks(self):
        """A hook that is left halfway may have said "unmapped" of what is still mapped, or not have
        said "mapped": those mappings, 300 at most, and nothing else."""
        recording = self.record_unchanged(harness.program("handlers_and_jumps"), "jump")
        self.assert_consistent(recording, but=["frees_of_unknown_memory"])
        self.assertLessEqual(recording.losses("info").get("frees_of_unknown_memory", 0), 300)
        self.assert_every_stack(recording, 2002, 1000, ["main"])


if __name__ == "__main__":
    harness.main()
