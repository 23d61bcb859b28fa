#!/usr/bin/env python3
"""Trains one model of the what-if table for a few steps, and says what PyTorch says it took.

    train.py --model gpt2 --batch 4 [--precision bf16|autocast] [--optimizer sgd] [--checkpoint]
             [--accumulate 2] [--json FILE] [--truth FILE]
    torchrun --nproc-per-node 2 train.py --model gpt2 --parallel zero3 --json FILE

The other changes (--freeze, --lora, …) are those of variants.py."""

import argparse
import contextlib
import json
import time

FIGURES = ("allocated_bytes.all.peak", "reserved_bytes.all.peak", "allocation.all.allocated",
           "segment.all.allocated", "active_bytes.all.peak", "requested_bytes.all.peak",
           "num_alloc_retries", "num_ooms")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, default=0, help="0: the model's base batch")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--precision", choices=("fp32", "bf16", "autocast"), default="fp32")
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--checkpoint", action="store_true")
    parser.add_argument("--checkpoint-every", type=int, default=1, help="every k-th block")
    parser.add_argument("--freeze", type=float, default=0.0, metavar="SHARE", help="of the blocks, the first")
    parser.add_argument("--lora", type=int, default=0, metavar="RANK")
    parser.add_argument("--quantize", default="", metavar="BITS:GROUP", help="frozen weights: 8:128, 4:128")
    parser.add_argument("--low-rank", type=int, default=0, metavar="RANK")
    parser.add_argument("--prune", type=float, default=0.0, metavar="SHARE", help="with masks")
    parser.add_argument("--prune-width", type=float, default=0.0, metavar="SHARE", help="of inner layers")
    parser.add_argument("--sequence", type=float, default=1.0, metavar="TIMES", help="the length")
    parser.add_argument("--inference", action="store_true", help="forward alone, without gradients")
    parser.add_argument("--offload", choices=("activations", "optimizer"))
    parser.add_argument("--parallel", choices=("ddp", "zero1", "zero2", "zero3"), help="under torchrun")
    parser.add_argument("--allocator-settings", default="", help="as in PYTORCH_ALLOC_CONF")
    parser.add_argument("--accumulate", type=int, default=1, help="micro-batches a step, each of --batch")
    parser.add_argument("--keep-gradients", action="store_true", help="zero_grad(set_to_none=False)")
    parser.add_argument("--memory-limit", type=int, default=0, metavar="BYTES", help="of what the pool reserves")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--truth", metavar="FILE", help="write what each tensor is here")
    return parser.parse_args(arguments)


def train(args):
    import models
    import torch

    import variants

    rank = variants.start_processes() if args.parallel else 0
    make, base_batch = models.MODELS[args.model]
    batch = args.batch or base_batch
    torch.manual_seed(1)
    if args.allocator_settings:
        torch.cuda.memory._set_allocator_settings(args.allocator_settings)
    if args.memory_limit:
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        torch.cuda.set_per_process_memory_fraction(args.memory_limit / total)
    shape = {}
    if args.sequence != 1 or args.prune_width:
        shape = {"length": round(models.LANGUAGE[args.model] * args.sequence), "width_kept": 1 - args.prune_width}
    task = make(**shape)
    change(args, task, variants)
    model = task.model.eval() if args.inference else task.model.train()
    if args.precision == "bf16":
        model = model.to(torch.bfloat16)
    model = model.to("cuda")
    if args.checkpoint:
        models.checkpoint_blocks(task.blocks, args.checkpoint_every)
    if args.parallel:
        model = variants.parallel(task, model, args.parallel)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    make_optimizer = models.OPTIMIZERS[args.optimizer]
    if args.offload == "optimizer":
        optimizer = variants.HostOptimizer(make_optimizer, trained)
    else:
        optimizer = variants.parallel_optimizer(make_optimizer, trained, args.parallel)
    truth = Truth(model, optimizer) if args.truth else None
    autocast = (torch.autocast("cuda", torch.bfloat16) if args.precision == "autocast"
                else contextlib.nullcontext())
    seconds = []
    result = {"arguments": vars(args), "batch": batch}
    try:
        for _ in range(args.steps):
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(args.accumulate):
                inputs = [tensor.to("cuda") for tensor in task.inputs(batch)]
                if args.inference:
                    with torch.no_grad(), autocast:
                        task.loss(model, *inputs)
                    continue
                with truth.forward(inputs) if truth else contextlib.nullcontext():
                    with autocast, variants.saved_on_host(args.offload == "activations"):
                        loss = task.loss(model, *inputs)
                    (loss / args.accumulate).backward()
            if truth:
                truth.after_backward()
            if not args.inference:
                optimizer.step()
            if truth:
                truth.after_step()
            if not args.inference:
                optimizer.zero_grad(set_to_none=not args.keep_gradients)
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    except torch.cuda.OutOfMemoryError as error:
        result["out_of_memory"] = str(error).splitlines()[0]
    stats = torch.cuda.memory_stats()
    result.update({"figures": {key: stats[key] for key in FIGURES}, "step_seconds": seconds,
                   "torch": torch.__version__, "device": torch.cuda.get_device_name(),
                   "parameters": sum(p.numel() for p in model.parameters())})
    if truth:
        truth.write(args.truth)
    if args.json and rank == 0:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file)
    if args.parallel:
        torch.distributed.destroy_process_group()
    return result


def change(args, task, variants):
    """What is changed of the model itself, before it goes to the device."""
    if args.freeze:
        variants.freeze(task, args.freeze)
    if args.low_rank:
        variants.low_rank(task, args.low_rank)
    if args.prune:
        variants.prune_masks(task, args.prune)
    if args.quantize:
        bits, group = map(int, args.quantize.split(":"))
        variants.quantize_weights(task, bits, group)
        if args.lora:
            variants.add_lora_to_quantized(task, args.lora)
    elif args.lora:
        variants.add_lora(task, args.lora)


class Truth:
    """What each tensor is, by where its storage lies and when: [monotonic ns, address, bytes, what]."""

    def __init__(self, model, optimizer):
        self.model = model
        self.optimizer = optimizer
        self.rows = []

    def note(self, tensor, what):
        if tensor.device.type == "cuda":
            storage = tensor.untyped_storage()
            self.rows.append((time.monotonic_ns(), storage.data_ptr(), storage.nbytes(), what))

    @contextlib.contextmanager
    def forward(self, inputs):
        import torch

        for tensor in inputs:
            self.note(tensor, "input")
        for tensor in list(self.model.parameters()) + list(self.model.buffers()):
            self.note(tensor, "parameter")

        def pack(tensor):
            self.note(tensor, "saved")
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield

    def after_backward(self):
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                self.note(parameter.grad, "gradient")

    def after_step(self):
        import torch

        for state in self.optimizer.state.values():
            for value in state.values():
                if isinstance(value, torch.Tensor):
                    self.note(value, "optimizer_state")

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            for row in self.rows:
                file.write(" ".join(map(str, row)) + "\n")


if __name__ == "__main__":
    outcome = train(parse())
    print(json.dumps({key: outcome[key] for key in ("batch", "figures", "step_seconds")}))
