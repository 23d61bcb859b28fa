#!/usr/bin/env python3
"""record.py TIDEMARK OUTDIR [--device cpu] [--host off] [--models A,B]: records truth.py with each model.

OUTDIR gets <model>.db and <model>.json, the truth, for `backward_table OUTDIR` (README.md). Nothing is
downloaded; a model whose package is not installed is an error, as is a run that fails."""

import argparse
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODELS = {"cuda": ["gpt2", "bert", "resnet50", "vit", "lstm", "llama", "small_transformer", "small_residual"],
          "cpu": ["small_transformer", "small_residual"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tidemark", type=pathlib.Path)
    parser.add_argument("outdir", type=pathlib.Path)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--models", default="", help="comma-separated; all of the device's without it")
    parser.add_argument("--host", default="full", choices=("full", "off"), help="off: views cannot be seen")
    parser.add_argument("--steps", default="3")
    args = parser.parse_args()
    args.outdir.mkdir(parents=True, exist_ok=True)
    failed = []
    for model in args.models.split(",") if args.models else MODELS[args.device]:
        out = args.outdir / model
        run = [args.tidemark.resolve(), "record", f"--host={args.host}", "-o", f"{out}.db", "--", sys.executable,
               HERE / "truth.py", "--model", model, "--device", args.device, "--steps", args.steps,
               "--truth", f"{out}.json"]
        done = subprocess.run(run, capture_output=True, text=True, timeout=180, check=False)
        print(done.stdout.strip() or model, done.stderr.strip()[-800:], sep="\n", flush=True)
        if done.returncode != 0 or not out.with_suffix(".json").exists():
            failed.append(model)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
