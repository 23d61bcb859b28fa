"""operator new in unusual hands."""

import harness


class New(harness.HazardTest):
    def test_one_that_throws_without_having_called_malloc(self):
        recording = self.record_unchanged(harness.program("throwing_new"))
        self.assertEqual(recording.stdout, "thrown 30, left 0\n")
        self.assert_consistent(recording)
        rows = recording.sql("select size, api, count(*) n, count(free_ns) freed from allocation "
                             "where size between 1001 and 1004 group by 1, 2")
        self.assertEqual([tuple(row.values()) for row in rows],
                         [(1001, "operator new", 20, 20), (1002, "malloc", 30, 30),
                          (1004, "malloc", 20, 20)])

    def test_the_first_calls_of_many_threads_at_once(self):
        for _ in range(5):
            recording = self.record_unchanged(harness.program("first_news"))
            self.assertEqual(recording.stdout, "done\n")
            self.assert_consistent(recording)
            rows = recording.sql("select size, api, count(*) n, count(free_ns) freed from "
                                 "allocation where size between 1001 and 1008 group by 1, 2")
            self.assertEqual([tuple(row.values()) for row in rows],
                             [(1001 + i, f"operator new{form}", 32, 32) for i, form in
                              enumerate(["", "[]", "", "[]", "(align)", "[](align)", "(align)",
                                         "[](align)"])])

    def test_first_calls_while_the_loader_waits_for_them(self):
        recording = self.record_unchanged(harness.program("first_news"),
                                          harness.library("library_starts_threads"))
        self.assertEqual(recording.stdout, "8 threads\n")
        self.assert_consistent(recording)
        self.assertEqual(
            recording.sql("select api, count(*) n, count(free_ns) freed from allocation where "
                          "size = 1009"), [{"api": "operator new[](align)", "n": 8, "freed": 8}])


if __name__ == "__main__":
    harness.main()
