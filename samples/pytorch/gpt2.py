#!/usr/bin/env python3
"""Trains GPT-2 small, from random weights, on random tokens. Nothing is downloaded."""

import bookkeeping


def main():
    parser = bookkeeping.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--sequence", type=int, default=512)
    args = parser.parse_args()
    run = bookkeeping.Run(args)
    bookkeeping.prepare(args)

    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    with run.profiled():
        config = GPT2Config()
        model = GPT2LMHeadModel(config).to(args.device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
        # A few texts, met again and again: something to learn by heart.
        texts = torch.randint(config.vocab_size, (2 * args.batch, args.sequence))
        for step in range(args.steps):
            with run.step():
                first = step % 2 * args.batch
                tokens = texts[first:first + args.batch]
                if args.device != "cpu":
                    tokens = tokens.pin_memory()
                tokens = tokens.to(args.device, non_blocking=True)
                loss = model(input_ids=tokens, labels=tokens).loss
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                run.add_loss(loss.item())
    run.write()


if __name__ == "__main__":
    main()
