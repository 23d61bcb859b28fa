#!/usr/bin/env python3
"""Records the base traces of the what-if table and measures its variants, on a machine with a GPU.

    measure.py TIDEMARK OUTDIR [--models gpt2,…] [--skip-bases] [--skip-variants]
    measure.py TIDEMARK OUTDIR --only changes      what variants.py does, on one GPU
    measure.py TIDEMARK OUTDIR --only parallel     two ranks each, on two GPUs
    measure.py TIDEMARK OUTDIR --only fits         30 predictions, the card's memory limited to them

With --only nothing is recorded, and OUTDIR gets cases-changes.json, cases-parallel.json or fits.json.

OUTDIR gets <model>.db (recorded with --host=off), <model>.json, and cases.json: every case with its
arguments and PyTorch's own figures. Where only memory is asked for, cases run side by side; the base
traces and what is timed run alone."""

import argparse
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import fits  # noqa: E402
import side_by_side  # noqa: E402
from side_by_side import Job  # noqa: E402

BATCHES = {"gpt2": 4, "bert": 8, "resnet50": 16, "vit": 16, "vgg16": 16, "lstm": 16, "llama": 4}
NOT_CHECKPOINTED = {"lstm"}


def cases_of(model):
    base = BATCHES[model]
    cases = {
        "batch/2": ["--batch", base // 2],
        "batch*2": ["--batch", base * 2],
        "batch*4": ["--batch", base * 4],
        "batch*8": ["--batch", base * 8],
        "bf16": ["--precision", "bf16"],
        "autocast": ["--precision", "autocast"],
        "sgd": ["--optimizer", "sgd"],
        "momentum": ["--optimizer", "momentum"],
        "adam8bit": ["--optimizer", "adam8bit"],
        "accumulate": ["--accumulate", 2],
        "keep-gradients": ["--keep-gradients"],
        "batch*4+bf16": ["--batch", base * 4, "--precision", "bf16"],
        "batch*2+sgd": ["--batch", base * 2, "--optimizer", "sgd"],
        "batch*4+autocast": ["--batch", base * 4, "--precision", "autocast"],
    }
    if model not in NOT_CHECKPOINTED:
        cases["batch*4+checkpoint"] = ["--batch", base * 4, "--checkpoint"]
        cases["bf16+checkpoint"] = ["--precision", "bf16", "--checkpoint"]
        cases["sgd+checkpoint"] = ["--optimizer", "sgd", "--checkpoint"]
    return with_model(model, cases)


def changes_of(model):
    """The cases of variants.py."""
    base = BATCHES[model]
    cases = {
        "inference": ["--inference"],
        "offload-activations": ["--offload", "activations"],
        "offload-optimizer": ["--offload", "optimizer"],
        "expandable": ["--allocator-settings", "expandable_segments:True"],
        "max-split": ["--allocator-settings", "max_split_size_mb:64"],
        "batch*4+expandable": ["--batch", base * 4, "--allocator-settings", "expandable_segments:True"],
    }
    if model in NOT_CHECKPOINTED:
        return with_model(model, cases)
    cases["checkpoint-every-2"] = ["--checkpoint", "--checkpoint-every", 2]
    if model not in ("gpt2", "bert", "llama"):
        if model != "vgg16":
            cases["freeze"] = ["--freeze", 0.5]
        return with_model(model, cases)
    cases.update({
        "freeze": ["--freeze", 0.5],
        "lora": ["--lora", 16],
        "lora+int8": ["--lora", 16, "--quantize", "8:128"],
        "lora+int4": ["--lora", 16, "--quantize", "4:128"],
        "lora+checkpoint": ["--lora", 16, "--checkpoint"],
        "batch*4+lora": ["--batch", base * 4, "--lora", 16],
        "batch*4+freeze": ["--batch", base * 4, "--freeze", 0.5],
        "low-rank": ["--low-rank", 64],
        "prune": ["--prune", 0.5],
        "prune-structured": ["--prune-width", 0.5],
        "sequence*2": ["--sequence", 2],
        "sequence/2": ["--sequence", 0.5],
        "sequence*2+checkpoint": ["--sequence", 2, "--checkpoint"],
        "batch*4+inference": ["--batch", base * 4, "--inference"],
        "batch*4+offload-activations": ["--batch", base * 4, "--offload", "activations"],
        "inference+bf16": ["--inference", "--precision", "bf16"],
    })
    return with_model(model, cases)


def parallel_of(model):
    base = BATCHES[model]
    ways = ("ddp", "zero1") if model in ("resnet50", "vgg16", "lstm") else ("ddp", "zero1", "zero2", "zero3")
    cases = {way: ["--parallel", way] for way in ways}
    if "zero3" in ways:
        cases["batch*4+zero3"] = ["--parallel", "zero3", "--batch", base * 4]
        cases["zero3+checkpoint"] = ["--parallel", "zero3", "--checkpoint"]
    return with_model(model, cases)


def with_model(model, cases):
    return {name: ["--model", model, *map(str, options)] for name, options in cases.items()}


def imported():
    """What every case imports, so that a fork has it. Nothing may touch the GPU before."""
    import models  # noqa: F401
    import torchvision  # noqa: F401
    from transformers import (BertForMaskedLM, GPT2LMHeadModel,  # noqa: F401
                              LlamaForCausalLM)


def say(result):
    outcome = result.get("error") or result.get("out_of_memory")
    print(f"{result['name']:36} {outcome or result['figures']['allocated_bytes.all.peak']}", flush=True)


GIB = 1 << 30
# Never so many at a time that the card could be full: that would change what is measured.
CARD_BYTES = 72 * GIB


def most_bytes(name):
    """More than any case of this batch takes of a device, its context included."""
    return (36 if "*8" in name else 19 if "*4" in name else 9) * GIB


def jobs_of(names, cases, ranks=1):
    return [Job(f"{model} {name}", options, most_bytes(name), ranks)
            for model in names for name, options in cases(model).items()]


def only(args, names):
    """What --only asks for, as (file name, its text)."""
    imported()
    if args.only == "fits":
        jobs, said = fits.jobs_of(args.tidemark, args.traces, BATCHES)
        rows, text = fits.table(said, side_by_side.run(jobs, CARD_BYTES, say))
        print(text)
        return "fits.json", rows
    if args.only == "parallel":
        results = side_by_side.run(jobs_of(names, parallel_of, ranks=2), CARD_BYTES, say, threads=3)
        return "cases-parallel.json", results
    jobs = jobs_of(names, changes_of)
    # What moves between host and device is timed: it runs alone.
    timed = [job for job in jobs if "offload" in job.name or "every-2" in job.name]
    results = side_by_side.run(timed, 0, say, threads=0)
    results += side_by_side.run([job for job in jobs if job not in timed], CARD_BYTES, say)
    return "cases-changes.json", sorted(results, key=lambda result: result["name"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tidemark")
    parser.add_argument("outdir", type=pathlib.Path)
    parser.add_argument("--models", default=",".join(BATCHES))
    parser.add_argument("--skip-bases", action="store_true")
    parser.add_argument("--skip-variants", action="store_true")
    parser.add_argument("--truth", action="store_true", help="also what each tensor is, in a recording of its own")
    parser.add_argument("--only", choices=("changes", "parallel", "fits"))
    parser.add_argument("--traces", type=pathlib.Path, default=HERE / "results" / "h100",
                        help="the base traces that --only fits predicts from")
    args = parser.parse_args()
    args.outdir.mkdir(parents=True, exist_ok=True)
    names = args.models.split(",")
    program = [sys.executable, str(HERE / "train.py")]

    if args.only:
        name, results = only(args, names)
        write(args.outdir / name, results)
        return

    if not args.skip_bases:
        for model in names:
            out = args.outdir / model
            run = [args.tidemark, "record", "--host=off", "-o", f"{out}.db", "--", *program,
                   "--model", model, "--json", f"{out}.json"]
            outcome = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
            print(model, "recorded" if outcome.returncode == 0 else outcome.stderr[-600:], flush=True)
    if args.truth:
        def record_truth(model):
            out = args.outdir / f"{model}-truth"
            return subprocess.Popen(
                [args.tidemark, "record", "--host=off", "-o", f"{out}.db", "--", *program, "--model", model,
                 "--json", f"{out}.json", "--truth", f"{out}.txt"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for process in [record_truth(model) for model in names]:
            process.wait(timeout=200)
    if not args.skip_variants:
        imported()
        timed = [Job(f"{model} {name}", ["--model", model, *more], most_bytes(name)) for model in names
                 for name, more in (("base", []), ("checkpoint", ["--checkpoint"]))
                 if name == "base" or model not in NOT_CHECKPOINTED]
        results = side_by_side.run(timed, 0, say, threads=0)
        results += side_by_side.run(jobs_of(names, cases_of), CARD_BYTES, say)
        write(args.outdir / "cases.json", sorted(results, key=lambda result: result["name"]))


def write(path, results):
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
