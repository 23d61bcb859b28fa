"""python3: multiprocessing, NumPy, PyTorch with DataLoader workers."""

import subprocess

from program_case import Case, missing_programs, write


def module_there(name):
    done = subprocess.run(["/usr/bin/python3", "-c", f"import {name}"], capture_output=True)
    return None if done.returncode == 0 else f"needs the Python module {name}"


class Multiprocessing(Case):
    name = "python3"
    packages = ("python3",)
    least_allocations = 10_000
    least_processes = 7  # two pools of three workers; forkserver and spawn add their own

    def missing(self):
        return missing_programs("python3")

    def prepare(self, work):
        write(f"{work}/work.py", f"""
import json, multiprocessing, subprocess, sys, threading, zlib

def digest(seed):
    rows = [{{"n": n, "square": n * n, "text": str(n) * 3}} for n in range(seed, seed + 400)]
    return zlib.crc32(json.dumps(rows, sort_keys=True).encode())

if __name__ == "__main__":
    seeds = range(0, {self.by_size(20, 400)} * 100, 100)
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(3) as pool:
            print(method, sum(pool.map(digest, seeds)))
    results = {{}}
    threads = [threading.Thread(target=lambda s=s: results.update({{s: digest(s)}})) for s in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print("threads", sum(results.values()))
    child = subprocess.run([sys.executable, "-c", "import sys; print(sys.stdin.read().upper())"],
                           input="closed descriptors", text=True, capture_output=True, env={{}})
    print(child.stdout, end="")
    try:
        print("x" * -1 + [])
    except TypeError as error:
        print(error, file=sys.stderr)
""")

    def command(self, work):
        return ["python3", "work.py"]

    def environment(self, work):
        return {"PYTHONDONTWRITEBYTECODE": "1"}


class NumPy(Case):
    name = "numpy"
    packages = ("python3-numpy",)
    least_allocations = 10_000

    def missing(self):
        return missing_programs("python3") or module_there("numpy")

    def prepare(self, work):
        write(f"{work}/work.py", f"""
import numpy
generator = numpy.random.default_rng(7)
matrix = generator.standard_normal(({self.by_size(200, 800)},) * 2)
values, vectors = numpy.linalg.eigh(matrix @ matrix.T)
print(numpy.round(values[-3:], 6))
table = numpy.concatenate([generator.integers(0, 1000, 1000) for _ in range({self.by_size(100, 3000)})])
print(numpy.unique(table).size, table.sum(), numpy.sort(table)[:: table.size // 7])
for size in (10, 1000, 100_000, 10_000_000):
    block = numpy.ones(size); block = numpy.append(block, block); print(block.sum())
numpy.save("vectors.npy", numpy.abs(vectors).round(6))
""")

    def command(self, work):
        return ["python3", "work.py"]

    def environment(self, work):
        # Threads share a sum as they come: the last bits of a product then vary.
        return {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class PyTorch(Case):
    name = "pytorch"
    packages = ("python3-torch",)
    least_allocations = 100_000
    least_processes = 5  # main and 4 workers; some interpreters add a resource tracker

    def missing(self):
        return missing_programs("python3") or module_there("torch")

    def prepare(self, work):
        write(f"{work}/train.py", f"""
import torch
from torch import nn

class Images(torch.utils.data.Dataset):
    def __len__(self):
        return {self.by_size(64, 960)}

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.rand(3, 64, 64, generator=generator)
        return (image - image.mean()) / image.std(), index % 10

def batches():
    return torch.utils.data.DataLoader(Images(), batch_size=32, shuffle=True, num_workers=4,
                                       generator=torch.Generator().manual_seed(1))

def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)  # threads share a sum as they come
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 16 * 16, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(2):
        total = 0.0
        for images, labels in batches():
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {{epoch}} loss {{total:.6f}}", flush=True)
    torch.save(model.state_dict(), "model.pt")

if __name__ == "__main__":
    main()
""")

    def command(self, work):
        return ["python3", "train.py"]

    def environment(self, work):
        return {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def check_trace(self, trace):
        forked = trace.value("select count(*) from process where parent_id = 1")
        found = [] if forked >= 8 else [f"only {forked} workers of 2 × 4 in the trace"]
        for where in ("process_id = 1", "process_id <> 1"):
            if not trace.sql("select 1 from frame where kind = 'python' and file like '%/train.py' and "
                             f"stack_id in (select alloc_stack_id from allocation where {where} "
                             "limit 1000000) limit 1"):
                found.append(f"no Python line of train.py where {where}")
        return found
