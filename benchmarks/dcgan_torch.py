"""The iteration of `dcgan.py` in PyTorch: eager as most people write it, or at its best."""

import device
import torch
from torch import nn
from torch.nn.functional import softplus


def networks(side):
    """Return G and D of the examples/dcgan.py of this side, width 64."""
    first, stages = (7, 2) if side == 28 else (4, 4)
    widths = [1] + [64 * 2**stage for stage in range(stages)]
    G = [nn.Linear(100, first * first * widths[-1], bias=False), nn.Unflatten(1, (widths[-1], first, first))]
    G += [nn.BatchNorm2d(widths[-1]), nn.ReLU()]
    D = []
    for stage in range(stages):
        small, large = widths[stage], widths[stage + 1]
        D += [nn.Conv2d(small, large, 4, 2, 1, bias=stage == 0)] + ([nn.BatchNorm2d(large)] if stage else [])
        D += [nn.LeakyReLU(0.2)]
        before, after = widths[stages - stage], widths[stages - stage - 1]
        last = stage == stages - 1
        G += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=last)]
        G += [nn.Tanh()] if last else [nn.BatchNorm2d(after), nn.ReLU()]
    D += [nn.Flatten(), nn.Linear(first * first * widths[-1], 1)]
    return nn.Sequential(*G), nn.Sequential(*D)


def torch_iteration(case, images, *, tuned, graph=False):
    """Return a function that runs one iteration; `tuned`: D frozen in G's step, fused Adam, channels last.

    graph: as one CUDA graph.
    """
    torch.manual_seed(0)
    place = device.torch_device()
    layout = {"device": place} | ({"memory_format": torch.channels_last} if tuned else {})
    if case == "layer":
        layer = nn.Conv2d(64, 64, 3, padding=1).to(**layout)
        x = torch.randn(len(images), 64, 32, 32).to(**layout).requires_grad_()

        def iteration():
            layer.zero_grad()
            x.grad = None
            y = layer(x)
            y.backward(y.detach())

        return device.graphed(iteration) if graph else iteration
    G, D = networks(int(case))
    G, D = G.to(**layout), D.to(**layout)
    options = {"capturable": graph} | ({"fused": True} if tuned else {})
    opt_G = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999), **options)
    opt_D = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999), **options)
    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(place)

    def iteration():
        real = (images.float() / 127.5 - 1).to(**layout)
        with torch.no_grad():
            fake = G(torch.randn(len(real), 100, device=place))
        opt_D.zero_grad()
        (softplus(-D(real)).mean() + softplus(D(fake)).mean()).backward()
        opt_D.step()
        opt_G.zero_grad()
        D.requires_grad_(not tuned)  # frozen, D's weight gradients are spared in G's step
        softplus(-D(G(torch.randn(len(real), 100, device=place)))).mean().backward()
        D.requires_grad_(True)
        opt_G.step()

    return device.graphed(iteration) if graph else iteration
