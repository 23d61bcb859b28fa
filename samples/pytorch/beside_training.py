#!/usr/bin/env python3
"""What training programs do beside training, and a recorder must leave alone: workers that load data, a
thread that pins it, torch.compile, a process that is spawned and one that is forked after CUDA was used. Prints what
it computed and PyTorch's own figures as JSON."""

import json
import os

BATCHES, EPOCHS = 8, 3
FORKED_STATUS = 7


def blocks():
    import torch

    return torch.cuda.memory_stats()["allocation.all.allocated"]


def spawned(queue):
    import torch

    total = torch.ones(1 << 20, device="cuda").sum().item()
    queue.put({"pid": os.getpid(), "total": total, "blocks": blocks()})


def train():
    import torch

    torch.manual_seed(1)
    data = torch.utils.data.TensorDataset(torch.randn(32 * BATCHES, 64), torch.randint(0, 10, (32 * BATCHES,)))
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=2, pin_memory=True)
    model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 10)).cuda()
    optimizer = torch.optim.AdamW(model.parameters())
    compiled = torch.compile(model)
    losses = []
    for _ in range(EPOCHS):
        for images, labels in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(compiled(images.cuda(non_blocking=True)),
                                                     labels.cuda(non_blocking=True))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def main():
    import torch

    losses = train()
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=spawned, args=(queue,))
    process.start()
    child = queue.get()
    process.join()
    forked = os.fork()
    if forked == 0:
        os._exit(FORKED_STATUS if torch.ones(4).sum().item() == 4 else 1)
    _, status = os.waitpid(forked, 0)
    print(json.dumps({"pid": os.getpid(), "losses": losses, "blocks": blocks(), "spawned": child,
                      "spawned_status": process.exitcode, "forked_status": os.waitstatus_to_exitcode(status)}))


if __name__ == "__main__":
    main()
