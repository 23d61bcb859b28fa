"""--host=aggregate: the same totals, peaks and leaks as with rows, to the byte, and no rows."""

import json
import subprocess

import harness


class Aggregate(harness.HazardTest):
    def answer(self, recording, *words):
        done = subprocess.run([harness.TIDEMARK, words[0], recording.path, *words[1:]],
                              capture_output=True, text=True, timeout=harness.TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def without_times(self, value):
        """What two runs of one program have in common, groups in an order of their own."""
        if isinstance(value, dict):
            return {key: self.without_times(each) for key, each in value.items()
                    if not key.endswith("_ns") and key not in ("pid", "memory", "command")
                    # Sums have no single blocks: what each of them was is only known of rows.
                    and key not in ("categories", "lines", "layers", "cause", "growth_bytes")}
        if isinstance(value, list):
            return sorted((self.without_times(each) for each in value),
                          key=lambda each: json.dumps(each, sort_keys=True))
        return value

    def both(self):
        command = (harness.program("phases"), "2000")
        full = self.record(*command, trace="full.db")
        sums = self.record(*command, trace="sums.db", options=("--host=aggregate",))
        for recording in (full, sums):
            self.assertEqual(recording.returncode, 0, recording.stderr)
            self.assert_nothing_lost(recording)
        return full, sums

    def test_a_report_says_the_same_of_every_total_peak_and_leak(self):
        full, sums = self.both()
        reports = [json.loads(self.answer(each, "report", "--format", "json"))
                   for each in (full, sums)]
        heap = [space for space in reports[0]["spaces"] if space["layer"] == "heap"]
        self.assertGreater(heap[0]["peak_bytes"], 2000 * 100 + 200 * 70000)
        self.assertGreater(heap[0]["leaked"]["count"], 300)
        self.assertGreater(heap[0]["at_peak"]["groups"], 1)
        self.assertEqual(self.without_times(reports[1]["spaces"]),
                         self.without_times(reports[0]["spaces"]))
        for space in reports[0]["spaces"] + reports[1]["spaces"]:
            self.assertEqual(sum(each["bytes"] for each in space["categories"]), space["peak_bytes"])
        self.assertEqual(self.without_times(reports[1]["events"]), reports[0]["events"])
        heaps = [[process["heap"] for process in report["processes"]] for report in reports]
        self.assertEqual(len(heaps[0]), 2)
        self.assertEqual(self.without_times(heaps[1]), self.without_times(heaps[0]))

    def test_info_says_the_same(self):
        full, sums = self.both()
        infos = [json.loads(self.answer(each, "info", "--json")) for each in (full, sums)]
        for part in ("events", "peaks", "allocations"):
            self.assertEqual(self.without_times(infos[1][part]),
                             self.without_times(infos[0][part]), part)
        self.assertTrue(any("aggregate" in remark for remark in infos[1]["remarks"]))

    def test_sql_has_the_totals_of_the_rows_and_no_rows(self):
        full, sums = self.both()
        self.assertEqual(sums.value("select count(*) from allocation"), 0)
        by_rows = full.sql("select process_id, layer, api, count(*) n, sum(size) bytes, "
                           "count(free_ns) frees from allocation group by 1, 2, 3 order by 1, 2, 3")
        by_sums = sums.sql("select process_id, layer, api, sum(allocations) n, sum(allocated_bytes)"
                           " bytes, sum(frees) frees from host_total group by 1, 2, 3 "
                           "order by 1, 2, 3")
        self.assertEqual(by_sums, by_rows)
        temporary = sums.sql("select temporary from host_total t where layer = 'heap' and "
                             "allocations = 2000 and allocated_bytes = 66000")
        self.assertEqual(temporary, [{"temporary": 2000}])

    def test_the_trace_grows_with_the_stacks_and_not_with_the_events(self):
        few = self.record(harness.program("phases"), "300", trace="few.db",
                          options=("--host=aggregate",))
        many = self.record(harness.program("phases"), "3000", trace="many.db",
                           options=("--host=aggregate",))
        sizes = [each.value("select count(*) from host_total") for each in (few, many)]
        self.assertEqual(sizes[0], sizes[1])
        self.assertEqual(many.value("select count(*) from host_chunk"), 0)


if __name__ == "__main__":
    harness.main()
