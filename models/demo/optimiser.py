"""Muon for hidden matrices and AdamW for everything else, over a dict of parameters; state is a plain dict.

train.py calls it. In a joint run each rank orthogonalises every other matrix and the updates are summed over ranks.
"""
import torch
import torch.distributed as dist


def orthogonalise(m, steps=5):
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix, in bf16."""
    x = m.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t().contiguous()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.t()
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.t() if tall else x).float()


def is_hidden_matrix(name, t):
    return t.dim() == 2 and ("layers." in name or "blocks." in name or "merger.mlp" in name)


class Optimiser:
    def __init__(self, params, decay=0.01):
        self.params, self.decay, self.steps = params, decay, 0
        self.state = {n: ([torch.zeros_like(t)] if is_hidden_matrix(n, t) else [torch.zeros_like(t), torch.zeros_like(t)])
                      for n, t in params.items()}

    @torch.no_grad()
    def step(self, muon_lr, adam_lr, scale=lambda name: 1.0, rank=0, ranks=1):
        self.steps += 1
        b1, b2 = 0.9, 0.97
        mine = [n for n, t in self.params.items() if t.grad is not None and is_hidden_matrix(n, t)]
        updates = {}
        for i, n in enumerate(mine):
            t = self.params[n]
            buf = self.state[n][0].lerp_(t.grad, 0.05)
            if i % ranks != rank:
                updates[n] = torch.zeros_like(t)
                continue
            g = t.grad.lerp(buf, 0.95)
            parts = g.chunk(3) if "qkv" in n else (g,)
            updates[n] = torch.cat([orthogonalise(x) * max(1.0, x.shape[0] / x.shape[1]) ** 0.5 for x in parts])
        if ranks > 1 and mine:
            flat = torch.cat([updates[n].reshape(-1) for n in mine]).bfloat16()
            dist.all_reduce(flat)
            at = 0
            for n in mine:
                k = updates[n].numel()
                updates[n] = flat[at:at + k].float().view_as(updates[n])
                at += k
        for n in mine:
            lr = muon_lr * scale(n)
            self.params[n].mul_(1 - lr * self.decay).add_(updates[n], alpha=-lr)
        for n, t in self.params.items():
            if t.grad is None or is_hidden_matrix(n, t):
                continue
            m, v = self.state[n]
            m.lerp_(t.grad, 1 - b1)
            v.lerp_(t.grad.square(), 1 - b2)
            lr = adam_lr * scale(n)
            if t.dim() == 2:
                t.mul_(1 - lr * self.decay)
            c1, c2 = 1 - b1 ** self.steps, 1 - b2 ** self.steps
            t.addcdiv_(m / c1, (v / c2).sqrt() + 1e-8, value=-lr)

    def zero_grad(self):
        for t in self.params.values():
            t.grad = None


def clip_grads(params, limit):
    grads = [t.grad for t in params.values() if t.grad is not None]
    norm = torch.sqrt(sum(g.square().sum() for g in grads))
    if norm > limit:
        for g in grads:
            g.mul_(limit / (norm + 1e-6))
    return float(norm)
