"""Does what `whatif` says fits really fit? Each prediction's pool is limited twice on the card:

    at its predicted peak and the margin, from where on the tool says that it fits: it must run
    somewhat below the least that its replay can do with:                           it must not

Both limits and both answers are the tool's own (`whatif --capacity … --json`); the card is limited with
torch.cuda.set_per_process_memory_fraction, which counts what the pool has reserved."""

import json
import subprocess

import side_by_side

BELOW = 0.95  # of the least
CONTEXT_BYTES = 1 << 30  # of a process on the card, beside its pool

# What is changed, as options of the tool and of train.py. {n}: n times the base batch.
CHANGES = {
    "batch*2": (["--batch", "2x"], ["--batch", "{2}"]),
    "batch*4": (["--batch", "4x"], ["--batch", "{4}"]),
    "batch*8": (["--batch", "8x"], ["--batch", "{8}"]),
    "bf16": (["--precision", "bf16"], ["--precision", "bf16"]),
    "autocast": (["--autocast", "bf16"], ["--precision", "autocast"]),
    "sgd": (["--optimizer", "sgd"], ["--optimizer", "sgd"]),
    "adam8bit": (["--optimizer", "adam8bit"], ["--optimizer", "adam8bit"]),
    "accumulate": (["--accumulate", "2"], ["--accumulate", "2"]),
    "checkpoint": (["--checkpoint", "layers"], ["--checkpoint"]),
    "freeze": (["--freeze", "0.5"], ["--freeze", "0.5"]),
    "lora": (["--lora", "16"], ["--lora", "16"]),
    "inference": (["--inference"], ["--inference"]),
    "offload": (["--offload", "activations"], ["--offload", "activations"]),
    "expandable": (["--allocator", "torch:expandable_segments:True"],
                   ["--allocator-settings", "expandable_segments:True"]),
}

CASES = (
    "gpt2 batch*4", "gpt2 batch*8", "gpt2 checkpoint", "gpt2 batch*4+checkpoint", "gpt2 adam8bit",
    "gpt2 batch*4+autocast", "gpt2 expandable",
    "bert batch*4", "bert bf16", "bert lora", "bert batch*2+sgd", "bert accumulate",
    "llama batch*4", "llama batch*4+checkpoint", "llama lora", "llama offload",
    "vit batch*4", "vit freeze", "vit autocast", "vit sgd+checkpoint", "vit inference",
    "resnet50 batch*4", "resnet50 batch*8", "resnet50 checkpoint", "resnet50 bf16",
    "vgg16 batch*2", "vgg16 batch*4", "vgg16 sgd",
    "lstm batch*2", "lstm batch*4",
)


def asked(tidemark, trace, options, capacity="1000GiB"):
    run = [tidemark, "whatif", str(trace), *options, "--capacity", capacity, "--json"]
    return json.loads(subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout)


def jobs_of(tidemark, traces, batches):
    """Two for each case, and of each what the tool says."""
    jobs, said = [], {}
    for case in CASES:
        model, changes = case.split(" ")
        options, arguments = [], ["--model", model]
        for change in changes.split("+"):
            of_tool, of_train = CHANGES[change]
            options += of_tool
            arguments += [str(batches[model] * int(one.strip("{}"))) if one.startswith("{") else one
                          for one in of_train]
        prediction = asked(tidemark, traces / f"{model}.db", options)
        pool = prediction["pool"]
        limits = {"fits": pool["fits_from_bytes"], "does not fit": int(BELOW * pool["least_bytes"])}
        for answer, limit in limits.items():
            name = f"{case}: {answer}"
            said[name] = {"case": case, "answer": answer, "pool_limit_bytes": limit,
                          "predicted": {key: prediction["predicted"][key]
                                        for key in ("peak_allocated_bytes", "peak_reserved_bytes")}}
            jobs.append(side_by_side.Job(name, [*arguments, "--memory-limit", str(limit)],
                                         limit + CONTEXT_BYTES))
    return jobs, said


def table(said, results):
    """(rows for fits.json, text). A case that neither ran nor ran out of memory has no answer."""
    rows, lines = [], []
    for result in results:
        row = dict(said[result["name"]])
        if "error" in result:
            row["error"] = result["error"]
        else:
            row["ran"] = "out_of_memory" not in result
            row["peak_reserved_bytes"] = result["figures"]["reserved_bytes.all.peak"]
            row["retries"] = result["figures"]["num_alloc_retries"]
        rows.append(row)
        outcome = row.get("error") or ("ran" if row["ran"] else "out of memory")
        right = "error" not in row and row["ran"] == (row["answer"] == "fits")
        lines.append(f"{row['case']:28} {row['answer']:13} {row['pool_limit_bytes']:>12}  {outcome:14}"
                     f"{'' if right else '  WRONG'}")
    known = [row for row in rows if "error" not in row]
    for answer in ("fits", "does not fit"):
        of = [row for row in known if row["answer"] == answer]
        wrong = sum(row["ran"] != (answer == "fits") for row in of)
        lines.append(f"said '{answer}': {wrong} wrong of {len(of)}")
    if len(known) < len(rows):
        lines.append(f"{len(rows) - len(known)} gave no answer")
    return rows, "\n".join(lines) + "\n"
