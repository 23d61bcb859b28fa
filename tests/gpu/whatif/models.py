"""The models of the what-if table: each with a step to take and the blocks that may be checkpointed.

A model is built on the CPU from random weights; nothing is downloaded. Inputs come from the CPU each
step, as a data loader's do."""

import functools

import torch


class Task:
    """A model, what its step computes the loss of, and which of its modules are checkpoint blocks."""

    def __init__(self, model, inputs, loss, blocks):
        self.model = model    # torch.nn.Module
        self.inputs = inputs  # batch -> tuple of tensors on the CPU
        self.loss = loss      # (model, *inputs on the device) -> scalar
        self.blocks = blocks  # modules, in order of their forward


def _tokens(vocabulary, length):
    return lambda batch: (torch.randint(vocabulary, (batch, length)),)


def _images(size):
    return lambda batch: (torch.randn(batch, 3, size, size), torch.randint(1000, (batch,)))


def _classify(model, images, labels):
    dtype = next(model.parameters()).dtype
    return torch.nn.functional.cross_entropy(model(images.to(dtype)).float(), labels)


def _language(model, tokens):
    return model(input_ids=tokens, labels=tokens).loss


def gpt2(length=512, width_kept=1.0):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(use_cache=False, n_inner=round(3072 * width_kept))
    model = GPT2LMHeadModel(config)
    return Task(model, _tokens(config.vocab_size, length), _language, list(model.transformer.h))


def bert(length=256, width_kept=1.0):
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(intermediate_size=round(3072 * width_kept))
    model = BertForMaskedLM(config)
    return Task(model, _tokens(config.vocab_size, length), _language, list(model.bert.encoder.layer))


def llama(length=512, width_kept=1.0):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=32000, hidden_size=768, use_cache=False,
                         intermediate_size=round(2048 * width_kept),
                         num_hidden_layers=12, num_attention_heads=12, num_key_value_heads=4)
    model = LlamaForCausalLM(config)
    return Task(model, _tokens(config.vocab_size, length), _language, list(model.model.layers))


def resnet50():
    import torchvision

    model = torchvision.models.resnet50(weights=None)
    blocks = [block for layer in (model.layer1, model.layer2, model.layer3, model.layer4)
              for block in layer]
    return Task(model, _images(224), _classify, blocks)


def vit():
    import torchvision

    model = torchvision.models.vit_b_16(weights=None)
    return Task(model, _images(224), _classify, list(model.encoder.layers))


def vgg16():
    import torchvision

    model = torchvision.models.vgg16(weights=None)
    return Task(model, _images(224), _classify, [model.features])


class LanguageLstm(torch.nn.Module):
    def __init__(self, vocabulary=33278, width=1024, layers=2):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.dropout = torch.nn.Dropout(0.2)
        self.lstm = torch.nn.LSTM(width, width, layers, dropout=0.2)
        self.decoder = torch.nn.Linear(width, vocabulary)

    def forward(self, tokens):
        states, _ = self.lstm(self.dropout(self.embedding(tokens.t())))
        return self.decoder(self.dropout(states))


def lstm():
    def loss(model, tokens):
        logits = model(tokens[:, :-1])
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), tokens[:, 1:].t().reshape(-1))

    model = LanguageLstm()
    return Task(model, _tokens(33278, 129), loss, [])


# The batch of the base trace of each.
MODELS = {"gpt2": (gpt2, 4), "bert": (bert, 8), "resnet50": (resnet50, 16), "vit": (vit, 16),
          "vgg16": (vgg16, 16), "lstm": (lstm, 16), "llama": (llama, 4)}


class Adam8bit(torch.optim.Optimizer):
    """Adam whose two states are held as one byte an element, with a scale for every 256 of them."""

    BLOCK = 256

    def __init__(self, parameters, lr=3e-4, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})

    def _load(self, codes, scales, shape):
        values = codes.float().mul_(scales.repeat_interleave(self.BLOCK))
        return values[:shape.numel()].view(shape)

    def _store(self, values, codes, scales):
        padded = torch.nn.functional.pad(values.flatten(), (0, codes.numel() - values.numel()))
        rows = padded.view(-1, self.BLOCK)
        scales.copy_(rows.abs().amax(1).div_(127).clamp_(min=1e-12))
        codes.copy_(rows.div_(scales.unsqueeze(1)).round_().flatten())

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    elements = -(-parameter.numel() // self.BLOCK) * self.BLOCK
                    for name in ("first", "second"):
                        state[name] = torch.zeros(elements, dtype=torch.int8,
                                                  device=parameter.device)
                        state[name + "_scale"] = torch.zeros(elements // self.BLOCK,
                                                             device=parameter.device)
                    state["step"] = 0
                state["step"] += 1
                gradient = parameter.grad.float()
                beta1, beta2 = group["betas"]
                first = self._load(state["first"], state["first_scale"], parameter.shape)
                second = self._load(state["second"], state["second_scale"], parameter.shape)
                first.mul_(beta1).add_(gradient, alpha=1 - beta1)
                second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2).clamp_(min=0)
                self._store(first, state["first"], state["first_scale"])
                self._store(second, state["second"], state["second_scale"])
                first.div_(1 - beta1 ** state["step"])
                second.div_(1 - beta2 ** state["step"]).sqrt_().add_(group["eps"])
                parameter.addcdiv_(first, second, value=-group["lr"])


OPTIMIZERS = {
    "adamw": functools.partial(torch.optim.AdamW, lr=3e-4),
    "sgd": functools.partial(torch.optim.SGD, lr=1e-3),
    "momentum": functools.partial(torch.optim.SGD, lr=1e-3, momentum=0.9),
    "adam8bit": Adam8bit,
}


def checkpoint_blocks(blocks, every=1):
    """Each of `blocks` (or every k-th) recomputes its forward when backward comes to it."""
    from torch.utils.checkpoint import checkpoint

    for block in blocks[::every]:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)


# Their length and the width of their inner layers can be chosen.
LANGUAGE = {"gpt2": 512, "bert": 256, "llama": 512}
