#!/usr/bin/env python3
"""A network that outgrows the share of the card it may have, in its second step, and dies of it."""

import torch


class Block(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.grow = torch.nn.Linear(width, 4 * width)
        self.shrink = torch.nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.shrink(torch.nn.functional.gelu(self.grow(x)))


def main():
    torch.manual_seed(1)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(768 * 2**20 / total)
    model = torch.nn.Sequential(*[Block(512) for _ in range(6)]).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for rows in (2048, 16384):
        optimizer.zero_grad()
        model(torch.randn(rows, 512, device="cuda")).square().mean().backward()
        optimizer.step()


if __name__ == "__main__":
    main()
