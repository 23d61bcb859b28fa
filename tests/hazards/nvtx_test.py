"""NVTX ranges and marks of programs that have NVTX compiled into them. No CUDA is needed."""

import os

import harness

TREE = """
with recursive named as (
  select m.*, t.name thread,
    (select max(o.id) from marker o where o.thread_id = m.thread_id and o.domain is m.domain
       and o.id < m.id and o.start_ns <= m.start_ns and o.end_ns > o.start_ns
       and o.end_ns >= m.end_ns) outer_id
  from marker m join thread t on t.id = m.thread_id)
select n.name, n.domain, o.name parent, n.end_ns is null open, n.end_ns = n.start_ns mark
from named n left join marker o on o.id = n.outer_id order by n.id
"""


class Nvtx(harness.HazardTest):
    def run_scenario(self, name, **kwargs):
        return self.record_unchanged(harness.program("nvtx_ranges"), name, **kwargs)

    def tree(self, recording):
        return [(row["name"], row["domain"], row["parent"], bool(row["open"]), bool(row["mark"]))
                for row in recording.sql(TREE)]

    def test_ranges_nest(self):
        recording = self.run_scenario("nesting")
        self.assertEqual(self.tree(recording), [
            ("outer", None, None, False, False),
            ("a moment", None, "outer", False, True),
            ("inner \u00fc \U0001F600", None, "outer", False, False),
            ("second", None, "outer", False, False),
            ("never ends", None, None, True, False)])
        self.assertEqual(recording.stdout, "-2\n")
        self.assert_nothing_lost(recording)
        self.assertEqual(recording.value("select value from meta where key = 'nvtx.ranges'"),
                         "recorded")

    def test_threads_and_their_names(self):
        recording = self.run_scenario("threads")
        rows = recording.sql("select m.name, t.name thread, end_ns >= start_ns ended from marker m "
                             "join thread t on t.id = m.thread_id order by m.id")
        main = "nvtx_ranges"
        self.assertEqual([(row["name"], row["thread"], row["ended"]) for row in rows],
                         [("across threads", main, 1), ("main", main, 1),
                          ("other", "worker by nvtx", 1)])
        self.assertEqual(recording.value(
            "select count(*) from marker a join marker b on a.name = 'across threads' and "
            "b.name = 'other' and a.end_ns between b.start_ns and b.end_ns"), 1)

    def test_domains_and_registered_names(self):
        recording = self.run_scenario("domains")
        self.assertEqual(self.tree(recording), [
            ("registered", "ours", None, False, False), ("plain", "theirs", None, False, False),
            (None, "ours", None, False, True), ("plain", "theirs", None, False, False)])
        order = recording.sql("select a.end_ns < b.end_ns crossed from marker a join marker b "
                              "on a.id = 1 and b.id = 2")
        self.assertEqual(order[0]["crossed"], 1)
        self.assert_nothing_lost(recording)

    def test_ends_of_nothing_are_counted(self):
        recording = self.run_scenario("unbalanced")
        self.assertEqual(recording.losses("info")["range_ends_without_start"], 3)
        self.assertEqual(self.tree(recording), [("only", None, None, False, False)])

    def test_many_names(self):
        recording = self.run_scenario("many_names")
        self.assertEqual(recording.sql("select count(*) n, count(distinct name) names, "
                                       "sum(name = 'name ' || (id - 1)) correct from marker"),
                         [{"n": 20000, "names": 20000, "correct": 20000}])
        self.assert_nothing_lost(recording)

    def test_a_forked_child(self):
        recording = self.run_scenario("forked")
        rows = recording.sql("select name, process_id, end_ns is null open from marker order by 1")
        self.assertEqual([(row["name"], row["open"]) for row in rows],
                         [("before", 0), ("in the child", 0)])
        self.assertNotEqual(rows[0]["process_id"], rows[1]["process_id"])
        self.assertEqual(recording.losses("info")["range_ends_in_forked_child"], 1)

    def test_a_killed_program_leaves_its_open_range(self):
        recording = self.record(harness.program("nvtx_ranges"), "killed")
        self.assertEqual(self.tree(recording), [("killed within", None, None, True, False)])

    def test_many_threads_at_once(self):
        recording = self.run_scenario("from_many_threads", options=("--host=off",))
        self.assertEqual(
            recording.sql("select name, count(*) n, count(end_ns) ended from marker group by 1 "
                          "order by 1"),
            [{"name": "half", "n": 80000, "ended": 80000},
             {"name": "step", "n": 80000, "ended": 80000}])
        # Each thread's ranges lie one behind the other, the halves within the steps.
        self.assertEqual(recording.value(
            "select count(*) from marker a join marker b on b.id = (select min(id) from marker c "
            "where c.thread_id = a.thread_id and c.id > a.id and c.name = 'half') "
            "where a.name = 'step' and a.id < 4000 and "
            "(b.start_ns < a.start_ns or b.end_ns > a.end_ns)"), 0)
        self.assert_nothing_lost(recording)

    def test_another_tool_is_kept(self):
        environment = dict(os.environ, NVTX_INJECTION64_PATH="/nowhere/tool.so")
        recording = self.record(harness.program("nvtx_ranges"), "nesting", env=environment)
        self.assertEqual(recording.returncode, 0)
        self.assertEqual(recording.value("select count(*) from marker"), 0)
        self.assertEqual(recording.losses("error")["nvtx_injection_taken"], 1)
        self.assertEqual(recording.value("select value from meta where key = 'nvtx_injection'"),
                         "/nowhere/tool.so")

    def test_a_child_with_an_environment_of_its_own(self):
        recording = self.record("/usr/bin/env", "-i", harness.program("nvtx_ranges"), "unbalanced")
        self.assertEqual(self.tree(recording), [("only", None, None, False, False)])

    def test_a_program_without_nvtx_is_as_before(self):
        recording = self.record_unchanged(harness.program("exits"), "return")
        self.assertEqual(recording.value("select count(*) from marker"), 0)
        self.assertIsNone(recording.value("select value from meta where key = 'nvtx.ranges'"))


if __name__ == "__main__":
    harness.main()
