"""A program that asks for CUPTI's subscription itself: what it gets is unchanged, and a refusal is said."""

import os
import subprocess

import harness


class WantsCupti(harness.HazardTest):
    def answer(self, answer):
        return self.record(harness.program("wants_cupti"),
                           env={**os.environ, "ANSWER": str(answer)})

    def test_a_refusal_is_a_loss_and_names_who_asked(self):
        recording = self.answer(39)
        self.assertEqual(recording.stdout, "39 7\n", recording.stderr)
        self.assertEqual(recording.losses("error").get("cupti_kept_from_program"), 1)
        self.assertIn("cupti_kept_from_program", recording.stderr)
        self.assertTrue(recording.value(
            "select value from meta where key = 'cuda.cupti_wanted_by'").endswith("/wants_cupti"))
        report = subprocess.run([harness.TIDEMARK, "report", recording.path], capture_output=True,
                                text=True, timeout=harness.TIMEOUT_S).stdout
        self.assertIn("--device=off", report)

    def test_what_is_granted_is_no_loss(self):
        recording = self.answer(0)
        self.assertEqual(recording.stdout, "0 7\n", recording.stderr)
        self.assertNotIn("cupti_kept_from_program", recording.losses())


if __name__ == "__main__":
    harness.main()
