"""Models that need nothing but PyTorch and train on a CPU in a second, each with something in it that
makes it hard to say which line a gradient belongs to."""

import torch

import models


class Attention(torch.nn.Module):
    """Three projections that are alike, views between them, and a split that leaves no trace of its own."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm = torch.nn.LayerNorm(width)
        self.together = torch.nn.Linear(width, 3 * width)
        self.query = torch.nn.Linear(width, width)
        self.key = torch.nn.Linear(width, width)
        self.value = torch.nn.Linear(width, width)
        self.out = torch.nn.Linear(width, width)

    def forward(self, states):
        query, key, value = self.together(self.norm(states)).split(states.shape[-1], dim=2)
        query = self.query(query)
        key = self.key(key)
        value = self.value(value)
        shape = (*states.shape[:2], self.heads, -1)
        query, key, value = (part.view(shape).transpose(1, 2) for part in (query, key, value))
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        mixed = torch.softmax(scores, dim=-1) @ value
        return states + self.out(mixed.transpose(1, 2).reshape(states.shape))


class Transformer(torch.nn.Module):
    def __init__(self, vocabulary=512, width=128, heads=4, layers=2):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.attention = torch.nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.wide = torch.nn.ModuleList(torch.nn.Linear(width, 4 * width) for _ in range(layers))
        self.narrow = torch.nn.ModuleList(torch.nn.Linear(4 * width, width) for _ in range(layers))

    def forward(self, tokens):
        states = self.embedding(tokens)
        for attention, wide, narrow in zip(self.attention, self.wide, self.narrow):
            states = attention(states)
            states = states + narrow(torch.nn.functional.gelu(wide(states)))
        return states @ self.embedding.weight.t()  # the same weight at both ends


class Residual(torch.nn.Module):
    """Works in place, which leaves no allocation behind in forward."""

    def __init__(self, channels):
        super().__init__()
        self.first = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(channels)
        self.second = torch.nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, image):
        out = torch.relu_(self.norm(self.first(image)))
        out = self.second(out)
        out += image
        return torch.relu_(out)


class Images(torch.nn.Module):
    def __init__(self, channels=32, blocks=3):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = torch.nn.Sequential(*(Residual(channels) for _ in range(blocks)))
        self.head = torch.nn.Linear(channels, 10)

    def forward(self, images):
        out = torch.nn.functional.max_pool2d(self.blocks(self.stem(images)), 4)
        return self.head(out.mean(dim=(2, 3)))


def _next_token(model, tokens):
    logits = model(tokens[:, :-1])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def transformer():
    return models.Task(Transformer(), lambda batch: (torch.randint(512, (batch, 65)),), _next_token, [])


def residual():
    inputs = lambda batch: (torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,)))  # noqa: E731
    return models.Task(Images(), inputs, lambda model, images, labels: torch.nn.functional.cross_entropy(
        model(images), labels), [])


MODELS = {"small_transformer": (transformer, 8), "small_residual": (residual, 8)}
