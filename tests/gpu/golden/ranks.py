#!/usr/bin/env python3
"""Two ranks, each on a GPU of its own, which average their gradients:
`torchrun --standalone --nproc-per-node 2 ranks.py`. Rank 1 has twice the rows."""

import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def main():
    local_rank = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl")
    rank = dist.get_rank()
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(1024, 4096), torch.nn.GELU(), torch.nn.Linear(4096, 1024)).cuda()
    model = DistributedDataParallel(model, device_ids=[local_rank])
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(4):
        optimizer.zero_grad()
        images = torch.randn(512 * (1 + rank), 1024, device="cuda")
        model(images).square().mean().backward()
        optimizer.step()
    torch.cuda.synchronize()
    print(f"rank {rank} allocated {torch.cuda.max_memory_allocated()}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
