#!/usr/bin/env python3
"""What measure.py concludes and how it shares the card, without a GPU: the cases only sleep."""

import os
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fits  # noqa: E402
import side_by_side  # noqa: E402
import train  # noqa: E402

FIGURES = {"allocated_bytes.all.peak": 1, "reserved_bytes.all.peak": 2, "num_alloc_retries": 0}


class SideBySide(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.addCleanup(setattr, train, "train", train.train)
        self.addCleanup(setattr, train, "parse", train.parse)
        train.parse = lambda arguments: arguments

    def test_cases_run_beside_each_other_as_far_as_they_have_room(self):
        def busy(name):
            mine = pathlib.Path(self.folder.name) / name
            mine.touch()
            beside = len(os.listdir(self.folder.name))
            time.sleep(0.3)
            mine.unlink()
            return {"beside": beside}

        train.train = busy
        jobs = [side_by_side.Job(f"case {i}", str(i), 10) for i in range(6)]
        results = side_by_side.run(jobs, 30, lambda result: None, threads=0)
        self.assertEqual([result["name"] for result in results], [job.name for job in jobs])
        self.assertEqual(max(result["beside"] for result in results), 3)
        alone = side_by_side.run(jobs[:2], 0, lambda result: None, threads=0)
        self.assertEqual([result["beside"] for result in alone], [1, 1])

    def test_a_case_that_fails_or_dies_says_so_and_ends_its_other_ranks(self):
        def fail(how):
            if how == "raise":
                raise ValueError("no such model")
            if os.environ["RANK"] == "0":
                os._exit(3)
            time.sleep(100)

        train.train = fail
        started = time.time()
        jobs = [side_by_side.Job("a", "raise", 1), side_by_side.Job("b", "die", 1, ranks=2)]
        said = []
        raised, died = side_by_side.run(jobs, 10, said.append, threads=0)
        self.assertIn("no such model", raised["error"])
        self.assertIn("status 3", died["error"])
        self.assertEqual(len(said), 2)
        self.assertLess(time.time() - started, 60)


class Fits(unittest.TestCase):
    def test_each_answer_is_held_against_what_happened(self):
        said = {}
        for case in ("one", "two"):
            for answer in ("fits", "does not fit"):
                said[f"{case}: {answer}"] = {"case": case, "answer": answer, "pool_limit_bytes": 8}
        results = [{"name": "one: fits", "figures": FIGURES},
                   {"name": "one: does not fit", "figures": FIGURES},
                   {"name": "two: fits", "figures": FIGURES, "out_of_memory": "CUDA out of memory"},
                   {"name": "two: does not fit", "error": "ended with status 1"}]
        rows, text = fits.table(said, results)
        self.assertEqual([row.get("ran") for row in rows], [True, True, False, None])
        self.assertIn("said 'fits': 1 wrong of 2", text)
        self.assertIn("said 'does not fit': 1 wrong of 1", text)
        self.assertIn("1 gave no answer", text)

    def test_there_are_thirty_cases_and_all_can_be_asked_and_run(self):
        self.assertEqual(len(set(fits.CASES)), 30)
        for case in fits.CASES:
            for change in case.split(" ")[1].split("+"):
                self.assertIn(change, fits.CHANGES)


if __name__ == "__main__":
    unittest.main()
