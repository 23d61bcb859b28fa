"""What the what-if table changes about a model or its training, besides batch, precision and optimizer.

Each change is what its users would write: frozen modules, adapters beside frozen weights, weights held
in 8 or 4 bits, factored weights, states or saved tensors on the host, two GPUs."""

import contextlib

import torch
from torch import nn


def _linears(blocks):
    """(parent, name, module, weight as [inputs, outputs], bias) of the products within the blocks."""
    for block in blocks:
        for parent in block.modules():
            for name, child in parent.named_children():
                if isinstance(child, nn.Linear):
                    yield parent, name, child, child.weight.t(), child.bias
                elif type(child).__name__ == "Conv1D" and hasattr(child, "nf"):  # GPT-2's
                    yield parent, name, child, child.weight, child.bias


def freeze(task, share):
    """The first blocks, and the embeddings before them, learn nothing."""
    first = task.blocks[round(len(task.blocks) * share)] if share < 1 else None
    started = set(map(id, first.parameters())) if first is not None else set()
    for parameter in task.model.parameters():
        if id(parameter) in started:
            break
        parameter.requires_grad_(False)


class Lora(nn.Module):
    def __init__(self, base, inputs, outputs, rank):
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.randn(inputs, rank) / rank)
        self.up = nn.Parameter(torch.zeros(rank, outputs))

    def forward(self, x):
        return self.base(x) + (x @ self.down) @ self.up * 2.0


def add_lora(task, rank):
    """Adapters on every product within the blocks; all else is frozen."""
    for parameter in task.model.parameters():
        parameter.requires_grad_(False)
    for parent, name, child, weight, _ in list(_linears(task.blocks)):
        setattr(parent, name, Lora(child, weight.shape[0], weight.shape[1], rank))


class Quantized(nn.Module):
    """A frozen weight of 8 or 4 bits with a scale for every `group` elements, made float for its product."""

    def __init__(self, weight, bias, bits, group):
        super().__init__()
        self.shape, self.bits = weight.shape, bits
        rows = weight.detach().reshape(-1, group)
        limit = 2 ** (bits - 1) - 1
        scales = rows.abs().amax(1, keepdim=True).div_(limit).clamp_(min=1e-12)
        codes = rows.div(scales).round().to(torch.int8)
        if bits == 4:
            pairs = (codes + 8).to(torch.uint8).flatten().view(-1, 2)
            codes = pairs[:, 0] | (pairs[:, 1] << 4)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.group = group
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)

    def weight(self, dtype):
        codes = self.codes
        if self.bits == 4:
            codes = torch.stack((codes & 15, codes >> 4), 1).to(torch.int8) - 8
        return (codes.view(-1, self.group).to(dtype) * self.scales.to(dtype)).view(self.shape)

    def forward(self, x):
        return QuantizedProduct.apply(x, self) if self.bias is None else QuantizedProduct.apply(x, self) + self.bias


class QuantizedProduct(torch.autograd.Function):
    """x @ weight; the float weight is made again for the backward pass, not kept."""

    @staticmethod
    def forward(context, x, module):
        context.module = module
        return x @ module.weight(x.dtype)

    @staticmethod
    def backward(context, gradient):
        return gradient @ context.module.weight(gradient.dtype).t(), None


def quantize_weights(task, bits, group):
    """Every product within the blocks; with `add_lora` afterwards as QLoRA does."""
    for parameter in task.model.parameters():
        parameter.requires_grad_(False)
    for parent, name, _, weight, bias in list(_linears(task.blocks)):
        setattr(parent, name, Quantized(weight, bias, bits, group))


def add_lora_to_quantized(task, rank):
    for block in task.blocks:
        for parent in list(block.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, Quantized):
                    setattr(parent, name, Lora(child, child.shape[0], child.shape[1], rank))


class LowRank(nn.Module):
    def __init__(self, inputs, outputs, rank, bias):
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=bias)

    def forward(self, x):
        return self.up(self.down(x))


def low_rank(task, rank):
    for parent, name, _, weight, bias in list(_linears(task.blocks)):
        setattr(parent, name, LowRank(weight.shape[0], weight.shape[1], rank, bias is not None))


def prune_masks(task, share):
    """torch.nn.utils.prune: a mask and a masked weight beside each weight."""
    from torch.nn.utils import prune

    for block in task.blocks:
        for module in list(block.modules()):
            if hasattr(module, "weight") and isinstance(module.weight, nn.Parameter) and module.weight.dim() > 1:
                prune.l1_unstructured(module, "weight", share)


def saved_on_host(activations):
    if activations:
        return torch.autograd.graph.save_on_cpu(pin_memory=True)
    return contextlib.nullcontext()


class HostOptimizer:
    """The states and a copy of the parameters live on the host, and the step is taken there."""

    def __init__(self, make, parameters):
        self.device = [p for p in parameters if p.requires_grad]
        self.host = [nn.Parameter(p.detach().cpu().pin_memory()) for p in self.device]
        self.optimizer = make(self.host)
        self.state = {}

    @torch.no_grad()
    def step(self):
        for device, host in zip(self.device, self.host):
            host.grad = None if device.grad is None else device.grad.cpu()
        self.optimizer.step()
        for device, host in zip(self.device, self.host):
            device.copy_(host)

    def zero_grad(self, set_to_none=True):
        for device in self.device:
            if set_to_none:
                device.grad = None
            elif device.grad is not None:
                device.grad.zero_()


def start_processes():
    import os

    import torch.distributed as dist

    rank = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", device_id=torch.device("cuda", rank))
    return rank


def parallel(task, model, how):
    """The model as each rank trains it: ddp, zero2 (parameters stay whole after forward), zero3."""
    if how == "ddp" or how == "zero1":
        return nn.parallel.DistributedDataParallel(model, device_ids=[torch.cuda.current_device()])
    from torch.distributed.fsdp import fully_shard

    keep = {"zero2": False, "zero3": True}[how]
    for block in task.blocks:
        fully_shard(block, reshard_after_forward=keep)
    fully_shard(model, reshard_after_forward=keep)
    return model


def parallel_optimizer(make, parameters, how):
    if how != "zero1":
        return make(parameters)
    from torch.distributed.optim import ZeroRedundancyOptimizer

    return ZeroRedundancyOptimizer(parameters, optimizer_class=make.func, **make.keywords)
