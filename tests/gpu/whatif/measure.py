#!/usr/bin/env python3
"""Records the base traces of the what-if table and measures its variants, on a machine with a GPU.

    measure.py TIDEMARK OUTDIR [--models gpt2,…] [--workers 8] [--skip-bases] [--skip-variants]
    measure.py TIDEMARK OUTDIR --only changes      what variants.py does, on one GPU
    measure.py TIDEMARK OUTDIR --only parallel     two ranks each, on two GPUs

With --only nothing is recorded, and OUTDIR gets cases-changes.json or cases-parallel.json.

OUTDIR gets <model>.db (recorded with --host=off), <model>.json, and cases.json: every case with its
arguments and PyTorch's own figures. Where only memory is asked for, cases run side by side; the base
traces and what is timed run alone."""

import argparse
import json
import multiprocessing
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import train  # noqa: E402

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


def two_ranks(job, outdir):
    """A run of its own on two GPUs; the figures are those of rank 0."""
    name, arguments = job
    out = outdir / "rank0.json"
    out.unlink(missing_ok=True)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
           str(HERE / "train.py"), *arguments, "--json", str(out)]
    outcome = subprocess.run(run, capture_output=True, text=True, timeout=180, check=False)
    if outcome.returncode != 0 or not out.exists():
        result = {"error": outcome.stderr[-300:]}
    else:
        result = json.loads(out.read_text(encoding="utf-8"))
    result["name"] = name
    print(f"{name:36} {result.get('figures', {}).get('allocated_bytes.all.peak', result.get('error'))}", flush=True)
    return result


def imported():
    """What every case imports, so that a fork has it. Nothing may touch the GPU before."""
    import models  # noqa: F401
    import torchvision  # noqa: F401
    from transformers import (BertForMaskedLM, GPT2LMHeadModel,  # noqa: F401
                              LlamaForCausalLM)


def in_a_fork(job):
    name, arguments = job
    started = time.time()
    try:
        result = train.train(train.parse(arguments))
    except Exception as error:  # said in the table
        result = {"error": f"{type(error).__name__}: {error}"[:300]}
    result["name"] = name
    result["seconds"] = time.time() - started
    print(f"{name:28} {result.get('figures', {}).get('allocated_bytes.all.peak', result.get('error'))}",
          flush=True)
    return result


def side_by_side(jobs, workers):
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, maxtasksperchild=1) as pool:
        return list(pool.imap_unordered(in_a_fork, jobs, chunksize=1))


def only(args, names):
    if args.only == "parallel":
        return [two_ranks((f"{model} {name}", options), args.outdir) for model in names
                for name, options in parallel_of(model).items()]
    imported()
    jobs = [(f"{model} {name}", options) for model in names for name, options in changes_of(model).items()]
    # What moves between host and device is timed: it runs alone.
    timed = [job for job in jobs if "offload" in job[0] or "every-2" in job[0]]
    large = [job for job in jobs if "*4" in job[0] and job not in timed]
    rest = [job for job in jobs if job not in timed and job not in large]
    return (side_by_side(timed, 1) + side_by_side(large, min(4, args.workers)) +
            side_by_side(rest, args.workers))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tidemark")
    parser.add_argument("outdir", type=pathlib.Path)
    parser.add_argument("--models", default=",".join(BATCHES))
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--skip-bases", action="store_true")
    parser.add_argument("--skip-variants", action="store_true")
    parser.add_argument("--truth", action="store_true", help="also what each tensor is, in a recording of its own")
    parser.add_argument("--only", choices=("changes", "parallel"))
    args = parser.parse_args()
    args.outdir.mkdir(parents=True, exist_ok=True)
    names = args.models.split(",")
    program = [sys.executable, str(HERE / "train.py")]

    if args.only:
        results = only(args, names)
        with open(args.outdir / f"cases-{args.only}.json", "w", encoding="utf-8") as file:
            json.dump(sorted(results, key=lambda result: result["name"]), file, indent=1)
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
        timed = [(f"{model} {name}", ["--model", model, *more]) for model in names
                 for name, more in (("base", []), ("checkpoint", ["--checkpoint"]))
                 if name == "base" or model not in NOT_CHECKPOINTED]
        jobs = [(f"{model} {name}", options) for model in names
                for name, options in cases_of(model).items()]
        # Never so many at a time that the card could be full: that would change what is measured.
        groups = [(timed, 1), ([job for job in jobs if "*8" in job[0]], 2),
                  ([job for job in jobs if "*4" in job[0]], min(4, args.workers)),
                  ([job for job in jobs if "*8" not in job[0] and "*4" not in job[0]], args.workers)]
        results = []
        for group, workers in groups:
            results += side_by_side(group, workers)
            with open(args.outdir / "cases.json", "w", encoding="utf-8") as file:
                json.dump(sorted(results, key=lambda result: result["name"]), file, indent=1)


if __name__ == "__main__":
    main()
