#!/usr/bin/env python3
"""record.py TIDEMARK OUTDIR: records the programs of this folder and of samples/wasteful on the
machine's GPUs. What comes out are the golden traces of tests/golden/traces (see its README.md)."""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FOLDER_SAID = "/src/gpu"  # in the traces, for whatever folder they were recorded in


def rename_folder(trace, tidemark):
    """Traces that are compared word for word name no folder of the machine that made them."""
    import sqlite3
    with sqlite3.connect(trace) as database:
        columns = [(table, column[1]) for (table,) in database.execute(
            "select name from sqlite_master where type = 'table' and sql like '%text%'").fetchall()
            for column in database.execute(f"pragma table_info({table})").fetchall() if column[2].lower() == "text"]
        for table, column in columns:
            for folder, said in ((str(HERE), FOLDER_SAID), (str(tidemark.parents[1]), "/opt/tidemark")):
                database.execute(f"update {table} set {column} = replace({column}, ?, ?)", (folder, said))
    database.close()


def main():
    tidemark, out = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    gpus = len(re.findall(r"^GPU ", subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout, re.M))
    python = [sys.executable]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # name: (command, options, GPUs, exit status)
    runs = {"graphs": ([*python, HERE / "graphs.py"], ["--host=off"], 1, 0),
            "out_of_memory": ([*python, HERE / "out_of_memory.py"], ["--host=off"], 1, 1),
            "ranks": ([*torchrun, HERE / "ranks.py"], ["--host=off"], 2, 0)}
    for name in ("cuda_wasteful", "cuda_clean"):
        for program in (tidemark.parents[1] / "share/tidemark/samples").rglob(name):
            runs[name] = ([program], [], 1, 0)
    wrong = []
    for name, (command, options, wanted, status) in runs.items():
        if wanted > gpus:
            print(f"left out: {name} needs {wanted} GPUs, {gpus} here")
            continue
        trace = out / f"{name}.db"
        done = subprocess.run([tidemark, "record", *options, "-o", trace, "--", *command], capture_output=True, text=True)
        (out / f"{name}.txt").write_text(done.stdout)
        print(f"{name}: exit {done.returncode}, {trace.stat().st_size if trace.exists() else 0} bytes\n{done.stdout}{done.stderr[-1500:]}")
        if done.returncode != status or not trace.exists():
            wrong.append(name)
            continue
        rename_folder(trace, tidemark)
    for leftover in out.glob("*.db-*"):
        leftover.unlink()
    if wrong:
        sys.exit(f"not as expected: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
