#!/usr/bin/env python3
"""Golden tests: every file in expected/ is one question to `tidemark` and its whole answer.

Its first line is the command, "$ tidemark …"; then comes standard output, then, each only where
there is something, "[stderr]" with standard error and "[exit N]". See README.md.
"""

import argparse
import difflib
import pathlib
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
RECORDED = (HERE / "traces", HERE.parent / "gpu/whatif/results/h100")  # on a GPU: traces/README.md


def make_fixtures(generator, folder):
    subprocess.run([generator, folder], check=True)
    for recorded in RECORDED:
        for trace in sorted(recorded.glob("*.db")):
            shutil.copy(trace, folder / f"h100_{trace.name}")
    (folder / "text.db").write_text("this is no trace\n")
    (folder / "short.db").write_bytes(b"SQLite format 3\0")
    with sqlite3.connect(folder / "other.db") as other:
        other.execute("create table t(x)")
    other.close()
    shutil.copy(folder / "cpu.db", folder / "newer.db")
    with sqlite3.connect(folder / "newer.db") as newer:
        newer.execute("pragma user_version = 1000000")
    newer.close()


def answer(tidemark, command, folder):
    words = shlex.split(command)
    assert words[:2] == ["$", "tidemark"], f"first line must be '$ tidemark …': {command}"
    done = subprocess.run([tidemark, *words[2:]], cwd=folder, capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    # Visible, and safe from tools that mend line ends.
    text = command + "\n" + done.stdout.decode().replace("\r\n", "<CR>\n")
    if done.stderr:
        text += "[stderr]\n" + done.stderr.decode()
    if done.returncode:
        text += f"[exit {done.returncode}]\n"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tidemark", required=True, type=pathlib.Path)
    parser.add_argument("--fixtures", required=True, type=pathlib.Path, help="make_fixtures")
    parser.add_argument("--update", action="store_true", help="write the answers of now")
    options = parser.parse_args()

    cases = sorted((HERE / "expected").glob("*.txt"))
    if not cases:
        sys.exit("no golden files: the checkout is incomplete")
    failed = []
    with tempfile.TemporaryDirectory(prefix="tidemark-golden-") as name:
        folder = pathlib.Path(name)
        make_fixtures(options.fixtures.resolve(), folder)
        for case in cases:
            expected = case.read_text()
            got = answer(options.tidemark.resolve(), expected.split("\n", 1)[0], folder)
            if got == expected:
                continue
            failed.append(case.name)
            if options.update:
                case.write_text(got)
            else:
                sys.stdout.writelines(difflib.unified_diff(
                    expected.splitlines(True), got.splitlines(True), case.name, "now"))
    verb = "updated" if options.update else "differ"
    print(f"{len(cases)} golden files, {len(failed)} {verb}: {' '.join(failed)}")
    return 1 if failed and not options.update else 0


if __name__ == "__main__":
    sys.exit(main())
