#!/usr/bin/env python3
"""Trains ResNet-50, from random weights, on random images. Nothing is downloaded."""

import bookkeeping


def main():
    parser = bookkeeping.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    args = parser.parse_args()
    run = bookkeeping.Run(args)
    bookkeeping.prepare(args)

    import torch
    import torchvision

    with run.profiled():
        model = torchvision.models.resnet50(weights=None).to(args.device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        criterion = torch.nn.CrossEntropyLoss()
        # Two batches, met again and again: something to learn by heart.
        images = torch.randn(2 * args.batch, 3, args.size, args.size)
        labels = torch.randint(1000, (2 * args.batch,))
        for step in range(args.steps):
            with run.step():
                chosen = slice(step % 2 * args.batch, (step % 2 + 1) * args.batch)
                batch_images, batch_labels = images[chosen], labels[chosen]
                if args.device != "cpu":
                    batch_images = batch_images.pin_memory()
                    batch_labels = batch_labels.pin_memory()
                outputs = model(batch_images.to(args.device, non_blocking=True))
                loss = criterion(outputs, batch_labels.to(args.device, non_blocking=True))
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                run.add_loss(loss.item())
    run.write()


if __name__ == "__main__":
    main()
