#!/usr/bin/env python3
"""Runs tests again and again, many at a time, to find those that pass only mostly.

    ctest --preset release -R '^hazard\\.' --show-only=json-v1 > tests.json
    python3 tests/hazards/repeat.py tests.json --repeat 100 [--jobs 16] [--seconds 500] [--failures FILE]

The list has commands and environments, so that what was built here can be repeated on a machine with
more cores that has the same files at the same places. Prints a line for each test; exit status 1
when one has failed, 2 when time was up before all had run so often.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import threading
import time


def environment_of(test):
    properties = {entry["name"]: entry["value"] for entry in test.get("properties", [])}
    variables = {}
    name = None
    for entry in properties.get("ENVIRONMENT", []):
        if "=" in entry:
            name, value = entry.split("=", 1)
            variables[name] = value
        elif name is not None:  # ctest shows a value with semicolons as so many entries
            variables[name] += ";" + entry
    return variables


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", help="what ctest --show-only=json-v1 printed")
    parser.add_argument("--repeat", type=int, default=10, help="how often each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after so long")
    parser.add_argument("--failures", help="a file for what failed tests print; else the console")
    options = parser.parse_args()
    with open(options.tests, encoding="utf-8") as file:
        tests = [test for test in json.load(file)["tests"] if "command" in test]
    if not tests:
        sys.exit("repeat: the list has no tests")

    # In rounds, so that where time is up all have run about as often.
    waiting = collections.deque(test for _ in range(options.repeat) for test in tests)
    end = time.monotonic() + options.seconds
    lock = threading.Lock()
    passed, failed, seconds = collections.Counter(), collections.Counter(), collections.Counter()

    def work():
        while True:
            with lock:
                if not waiting or time.monotonic() > end:
                    return
                test = waiting.popleft()
            began = time.monotonic()
            done = subprocess.run(test["command"], env={**os.environ, **environment_of(test)},
                                  capture_output=True, text=True, check=False)
            with lock:
                name = test["name"]
                seconds[name] += time.monotonic() - began
                (passed if done.returncode == 0 else failed)[name] += 1
                if done.returncode != 0:
                    with open(options.failures or "/dev/stderr", "a", encoding="utf-8") as file:
                        file.write(f"==== {name}\n{done.stdout}{done.stderr}\n")

    workers = [threading.Thread(target=work) for _ in range(options.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for name in dict.fromkeys(test["name"] for test in tests):
        runs = passed[name] + failed[name]
        print(f"{name:28}{passed[name]:5} of {options.repeat} passed{failed[name]:5} failed"
              f"{seconds[name] / max(1, runs):8.1f} s each")
    print(f"{sum(passed.values())} runs passed, {sum(failed.values())} failed, {len(waiting)} not begun")
    return 1 if failed else 2 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
