"""Code that comes and goes: the function that allocated is the one that was there at the time."""

import harness

LIBRARIES = (harness.program("libreloaded_1.so"), harness.program("libreloaded_2.so"))


class Modules(harness.HazardTest):
    def record_reloads(self, mode):
        return self.record_unchanged(harness.program("reloads"), mode, *LIBRARIES)

    def innermost(self, recording, size):
        return {row["function"]: row["n"] for row in recording.sql(
            "select f.function, count(*) n from allocation a left join frame f on "
            "f.stack_id = a.alloc_stack_id and f.depth = (select min(depth) from frame g where "
            "g.stack_id = f.stack_id and g.inlined = 0) "
            f"where a.size = {size} and a.api = 'malloc' group by 1")}

    def modules(self, recording, size):
        return {row["module"] for row in recording.sql(
            "select distinct f.module from allocation a join frame f on f.stack_id = "
            f"a.alloc_stack_id and f.depth = 0 where a.size = {size} and a.api = 'malloc'")}

    def test_two_libraries_take_turns_at_one_address(self):
        recording = self.record_reloads("turns")
        self.assertEqual(recording.stdout, "same address: yes\n",
                         "the hazard itself: without it this tests nothing")
        self.assert_consistent(recording)
        self.assertEqual(self.innermost(recording, 1001), {"only_in_1": 100})
        self.assertEqual(self.innermost(recording, 1002), {"only_in_2": 100})
        for which, path in enumerate(LIBRARIES, 1):
            self.assertEqual(self.modules(recording, 1000 + which), {path})
            # The constructor's block of each load, freed by the destructor.
            self.assertEqual(
                recording.sql("select count(*) n, count(free_ns) freed from allocation "
                              f"where size = {5000 + which}"), [{"n": 50, "freed": 50}])
            self.assertEqual(self.innermost(recording, 5000 + which).keys(),
                             {"(anonymous namespace)::load()"})

    def test_loading_while_others_allocate_throw_and_fork(self):
        recording = self.record_reloads("storm")
        self.assertEqual(recording.stdout, "wrong: 0\n")
        self.assert_consistent(recording, but=["frees_of_inherited_memory"])
        self.assertEqual(self.innermost(recording, 1001), {"only_in_1": 75})
        self.assertEqual(self.innermost(recording, 1002), {"only_in_2": 75})
        self.assertEqual(sum(self.innermost(recording, 1004).values()), 15)
        self.assertEqual(recording.value("select count(*) from process"), 16)

    def test_a_namespace_of_its_own(self):
        """It has a libc of its own, which is not ours to stand before: what it allocates is its
        secret, what the program itself does beside it is complete."""
        recording = self.record_reloads("namespace")
        self.assert_consistent(recording)
        self.assertEqual(self.innermost(recording, 1001), {})
        self.assertEqual(self.innermost(recording, 1002), {"main": 100})

    def test_a_library_bound_past_us(self):
        """What it frees of ours is seen to be free when its address is handed out again."""
        recording = self.record_reloads("deepbind")
        self.assert_consistent(
            recording, expected=["frees_of_unknown_memory", "allocations_at_live_address"])
        self.assertEqual(recording.losses("info")["frees_of_unknown_memory"], 100)
        self.assertEqual(self.innermost(recording, 1001), {})
        self.assertEqual(sum(self.innermost(recording, 1003).values()), 100)

    def test_an_ifunc_resolver(self):
        recording = self.record_unchanged(harness.program("ifunc"))
        self.assert_consistent(recording)
        self.assertEqual(recording.value("select count(*) from allocation where size = 1001"), 10)


if __name__ == "__main__":
    harness.main()
