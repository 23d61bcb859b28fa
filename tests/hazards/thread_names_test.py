"""A thread has the name that it had last, whoever gave it, and whether or not it has ended."""

import harness


class ThreadNames(harness.HazardTest):
    def names(self, *arguments):
        recording = self.record_unchanged(harness.program("thread_names"), *arguments)
        self.assert_nothing_lost(recording)
        return sorted(row["name"] for row in recording.sql("select name from thread"))

    def test_at_the_end_of_a_thread(self):
        self.assertEqual(self.names(), ["by another", "by itself", "by prctl", "thread_names",
                                        "thread_names"])

    def test_of_threads_that_never_end(self):
        self.assertEqual(self.names("stay"), ["by another", "by itself", "by prctl", "thread_names",
                                              "thread_names"])


if __name__ == "__main__":
    harness.main()
