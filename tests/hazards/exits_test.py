"""Whichever way a program ends: all that it did before is in the trace, and its status is its own."""

import signal

import harness

BLOCKS = 101  # 100 pairs and one that is kept, each time
KEY_ROUNDS = 4  # PTHREAD_DESTRUCTOR_ITERATIONS

BEFORE = {1001: 2 * BLOCKS, 1005: BLOCKS, 1006: KEY_ROUNDS * BLOCKS}
STATICS = {1002: BLOCKS, 1004: BLOCKS}


class Exits(harness.HazardTest):
    def check(self, how, status, at_the_end):
        recording = self.record_unchanged(harness.program("exits"), how)
        self.assertEqual(recording.returncode, status)
        self.assertEqual(recording.stdout, f"ending by {how}\n")
        self.assert_consistent(recording)
        expected = dict(BEFORE)
        for size, count in at_the_end.items():
            expected[size] = expected.get(size, 0) + count
        rows = recording.sql("select size, count(*) n, count(free_ns) freed from allocation "
                             "where size between 1001 and 1006 and api = 'malloc' group by size")
        self.assertEqual({row["size"]: row["n"] for row in rows}, expected)
        for row in rows:
            self.assertEqual(row["n"] - row["freed"], row["n"] // BLOCKS, row)

    def test_return_from_main(self):
        # The main thread's thread_local is destroyed by exit; its pthread key is not.
        self.check("return", 0, {**STATICS, 1005: BLOCKS})

    def test_exit(self):
        self.check("exit", 3, {**STATICS, 1005: BLOCKS})

    def test_exit_in_a_signal_handler(self):
        self.check("handler", 6, {**STATICS, 1005: BLOCKS})

    def test_exit_in_another_thread(self):
        self.check("thread", 7, STATICS)

    def test_pthread_exit_of_the_main_thread(self):
        self.check("pthread_exit", 0, {**STATICS, 1005: BLOCKS})

    def test_quick_exit(self):
        self.check("quick_exit", 4, {1003: BLOCKS})

    def test__exit(self):
        self.check("_exit", 5, {})

    def test_abort(self):
        self.check("abort", -signal.SIGABRT, {})

    def test_sigkill(self):
        self.check("kill", -signal.SIGKILL, {})


if __name__ == "__main__":
    harness.main()
