#!/usr/bin/env python3
"""Trains one model for a few steps and writes down which node of the backward pass ran when, and
which line of the forward pass had made that node: the truth that the analyzer is held against.

    truth.py --model gpt2 --truth FILE [--steps 3] [--device cpu]

How it knows: anomaly mode keeps the Python stack of each node's creation (`Node.metadata`), and a
hook on every node of the graph says when its turn comes. The nodes of one device run one after the
other, so what is allocated from one hook to the next is the first one's. FILE is JSON:

    {"stacks": [["FILE:LINE", …]],          innermost first
     "nodes": [[begin_ns, end_ns, name, [stack, …]]]}      CLOCK_MONOTONIC; stack: into `stacks`

A leaf that collects a gradient (AccumulateGrad) stands for no line of its own: its stacks are those
of all nodes that hand it one."""

import argparse
import json
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "whatif"))

FRAME = re.compile(r'  File "(.*)", line (\d+), in ')
# PyTorch's own, that takes the stack.
TAKER = re.compile(r"/torch/(fx|utils)/_?traceback\.py$")


class Truth:
    def __init__(self):
        self.stacks = {}  # tuple of "FILE:LINE" -> number
        self.nodes = []
        self.running = None  # [begin, name, stacks] of the node whose turn it is

    def stack_of(self, node):
        frames = [FRAME.match(entry) for entry in node.metadata.get("traceback_", [])]
        key = tuple(f"{found[1]}:{found[2]}" for found in reversed(frames) if found and not TAKER.search(found[1]))
        return self.stacks.setdefault(key, len(self.stacks))

    def watch(self, root):
        """Hooks every node that the backward pass from `root` will run."""
        consumers = {}  # of each leaf
        nodes, waiting = {root: None}, [root]
        while waiting:
            node = waiting.pop()
            for following, _ in node.next_functions:
                if following is None:
                    continue
                if following.name().endswith("AccumulateGrad"):
                    consumers.setdefault(following, []).append(node)
                if following not in nodes:
                    nodes[following] = None
                    waiting.append(following)
        for node in nodes:
            sources = consumers.get(node, [node])
            self.hook(node, sorted({self.stack_of(source) for source in sources}))

    def hook(self, node, stacks):
        name = node.name()
        if hasattr(node, "register_prehook"):
            node.register_prehook(lambda gradients: self.begins(name, stacks))
        else:  # before PyTorch 2.0: only afterwards
            node.register_hook(lambda gradients, outputs: self.ended(name, stacks))

    def begins(self, name, stacks):
        now = time.monotonic_ns()
        self.close(now)
        self.running = (now, name, stacks)

    def ended(self, name, stacks):
        begin, end = self.running[0], time.monotonic_ns()
        self.nodes.append((begin, end, name, stacks))
        self.running = (end, None, [])

    def close(self, now):
        if self.running is not None and self.running[1] is not None:
            self.nodes.append((self.running[0], now, *self.running[1:]))
        self.running = None

    def backward(self, loss):
        self.watch(loss.grad_fn)
        self.running = (time.monotonic_ns(), None, [])
        loss.backward()
        self.close(time.monotonic_ns())

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"stacks": [list(key) for key in self.stacks], "nodes": self.nodes}, file)


def remember_lines(torch):
    """Each node keeps the Python stack of its creation."""
    try:
        torch.autograd.set_detect_anomaly(True, check_nan=False)
    except TypeError:  # before PyTorch 2.0, where every gradient is searched for NaN too
        torch.autograd.set_detect_anomaly(True)


def train(args):
    import torch

    import models
    import small

    make, batch = {**models.MODELS, **small.MODELS}[args.model]
    torch.manual_seed(1)
    task = make()
    model = task.model.train().to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    truth = Truth()
    remember_lines(torch)
    for _ in range(args.steps):
        inputs = [tensor.to(args.device) for tensor in task.inputs(batch)]
        loss = task.loss(model, *inputs)
        truth.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if args.device != "cpu":
        torch.cuda.synchronize()
    truth.write(args.truth)
    print(f"{args.model}: {len(truth.nodes)} nodes ran, {len(truth.stacks)} stacks, loss {loss.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--truth", required=True, metavar="FILE")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    train(parser.parse_args())
