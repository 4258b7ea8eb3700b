"""T2T-ViT: sizes, published names, the whole forward pass once more in loops, its performer under mixed precision."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from relvit_lab.method.backbones import create_backbone, get, load_weights
from relvit_lab.method.backbones.t2t import TokenPerformer, sinusoid


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loud(model, seed=0):
    """In float64 and evaluation mode, with weights larger than fresh ones, so that no path is nearly silent. The fixed
    ones (w, pos_embed) stay."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    return model.double().eval()


# The slow version: numpy, a token, a window, a feature at a time. z is a list of vectors, one per token.


def norm(x, weight, bias):
    return (x - x.mean()) / math.sqrt(((x - x.mean()) ** 2).mean() + 1e-5) * weight + bias


def gelu(x):
    return np.array([0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in x])


def windows(grid, kernel, stride, padding):
    """grid[c][y][x] to vectors that hold a window's values, channel by channel, zero where it reaches over the edge."""
    channels, side = len(grid), len(grid[0])
    starts = range(-padding, side + padding - kernel + 1, stride)
    tokens = []
    for top in starts:
        for left in starts:
            values = []
            for c in range(channels):
                for y in range(top, top + kernel):
                    for x in range(left, left + kernel):
                        values.append(grid[c][y][x] if 0 <= y < side and 0 <= x < side else 0.0)
            tokens.append(np.array(values))
    return tokens


def as_grid(tokens):
    side = round(math.sqrt(len(tokens)))
    return [[[tokens[y * side + x][c] for x in range(side)] for y in range(side)] for c in range(len(tokens[0]))]


def performer(tokens, w, name):
    rows, bias, directions = w[f"{name}.kqv.weight"], w[f"{name}.kqv.bias"], w[f"{name}.w"]
    d, m = len(rows) // 3, len(directions)

    def features(x):
        return np.array([math.exp(direction @ x - x @ x / 2) / math.sqrt(m) for direction in directions])

    k, q, v = [], [], []
    for x in tokens:
        out = rows @ norm(x, w[f"{name}.norm1.weight"], w[f"{name}.norm1.bias"]) + bias
        k.append(features(out[:d]))
        q.append(features(out[d : 2 * d]))
        v.append(out[2 * d :])
    total, mixed = np.zeros(m), np.zeros((m, d))
    for one, value in zip(k, v):
        total += one
        for feature in range(m):
            mixed[feature] += one[feature] * value
    result = []
    for one, value in zip(q, v):
        y = one @ mixed / (one @ total + 1e-8)
        x = value + w[f"{name}.proj.weight"] @ y + w[f"{name}.proj.bias"]
        y = norm(x, w[f"{name}.norm2.weight"], w[f"{name}.norm2.bias"])
        y = gelu(w[f"{name}.mlp.0.weight"] @ y + w[f"{name}.mlp.0.bias"])
        result.append(x + w[f"{name}.mlp.2.weight"] @ y + w[f"{name}.mlp.2.bias"])
    return result


def block(z, w, name, heads):
    d = len(z[0])
    qkv = [w[f"{name}.attn.qkv.weight"] @ norm(x, w[f"{name}.norm1.weight"], w[f"{name}.norm1.bias"]) for x in z]
    result = []
    for i in range(len(z)):
        y = np.zeros(d)
        for head in range(heads):
            part = slice(head * d // heads, (head + 1) * d // heads)
            scores = [qkv[i][:d][part] @ qkv[j][d : 2 * d][part] / math.sqrt(d // heads) for j in range(len(z))]
            weights = [math.exp(score - max(scores)) for score in scores]
            for j in range(len(z)):
                y[part] += weights[j] / sum(weights) * qkv[j][2 * d :][part]
        x = z[i] + w[f"{name}.attn.proj.weight"] @ y + w[f"{name}.attn.proj.bias"]
        y = norm(x, w[f"{name}.norm2.weight"], w[f"{name}.norm2.bias"])
        y = gelu(w[f"{name}.mlp.fc1.weight"] @ y + w[f"{name}.mlp.fc1.bias"])
        result.append(x + w[f"{name}.mlp.fc2.weight"] @ y + w[f"{name}.mlp.fc2.bias"])
    return result


def position(p, dim):
    angles = [p / 10000 ** (2 * (j // 2) / dim) for j in range(dim)]
    return [math.cos(angle) if j % 2 else math.sin(angle) for j, angle in enumerate(angles)]


def slow_forward(model, image, depth, heads):
    """All tokens (1 + N, D) of one image (3, H, W) from the weights alone."""
    w = {name: value.numpy() for name, value in model.state_dict().items()}
    x = windows(image.tolist(), kernel=7, stride=4, padding=2)
    x = windows(as_grid(performer(x, w, "tokens_to_token.attention1")), kernel=3, stride=2, padding=1)
    x = windows(as_grid(performer(x, w, "tokens_to_token.attention2")), kernel=3, stride=2, padding=1)
    x = [w["tokens_to_token.project.weight"] @ token + w["tokens_to_token.project.bias"] for token in x]
    z = [w["cls_token"][0, 0], *x]
    z = [token + position(p, len(token)) for p, token in enumerate(z)]
    for i in range(depth):
        z = block(z, w, f"blocks.{i}", heads)
    return np.array([norm(token, w["norm.weight"], w["norm.bias"]) for token in z])


def check_forward(model, depth, heads):
    images = draw(2, 3, model.image_size, model.image_size).double()
    with torch.no_grad():
        feature, tokens = model(images)
    slow = torch.from_numpy(slow_forward(model, images[1], depth, heads))
    assert feature.dtype == torch.float64 and slow[1:].std(0).min() > 1e-3  # the tokens do differ
    torch.testing.assert_close(feature[1], slow[0], atol=5e-6, rtol=0)
    torch.testing.assert_close(tokens[1], slow[1:], atol=5e-6, rtol=0)


def test_sizes_of_table_1():
    model = create_backbone("t2t_vit_14")
    assert sum(p.numel() for p in model.parameters()) == 21_160_550
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 21_080_806
    head = nn.Linear(model.dim, 10)
    assert sum(p.numel() for p in [*model.parameters(), *head.parameters()]) == 21_164_400
    assert (model.dim, model.image_size, model.patch, model.side, model.task_side) == (384, 224, 16, 14, 7)
    entry = get("t2t_vit_14")
    assert (entry.label, entry.image_size, entry.patch, entry.batch_size) == ("T2T-ViT-14", 224, 16, 64)
    assert (entry.is_vit, entry.smoke, entry.released_dropout) == (False, "t2t_nano", 0.1)


def published_shapes():
    """Names and shapes of the published checkpoint, head apart."""
    shapes = {"cls_token": (1, 1, 384), "pos_embed": (1, 197, 384), "norm.weight": (384,), "norm.bias": (384,)}

    def linear(name, out, inputs, bias=True):
        shapes[f"{name}.weight"] = (out, inputs)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    def layer_norm(name, size):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (size,)

    for name, width in [("tokens_to_token.attention1", 147), ("tokens_to_token.attention2", 576)]:
        shapes[f"{name}.w"] = (32, 64)
        linear(f"{name}.kqv", 192, width)
        linear(f"{name}.proj", 64, 64)
        layer_norm(f"{name}.norm1", width)
        layer_norm(f"{name}.norm2", 64)
        linear(f"{name}.mlp.0", 64, 64)
        linear(f"{name}.mlp.2", 64, 64)
    linear("tokens_to_token.project", 384, 576)
    for i in range(14):
        layer_norm(f"blocks.{i}.norm1", 384)
        linear(f"blocks.{i}.attn.qkv", 1152, 384, bias=False)
        linear(f"blocks.{i}.attn.proj", 384, 384)
        layer_norm(f"blocks.{i}.norm2", 384)
        linear(f"blocks.{i}.mlp.fc1", 1152, 384)
        linear(f"blocks.{i}.mlp.fc2", 384, 1152)
    return shapes


def test_published_names_and_shapes():
    model = create_backbone("t2t_vit_14")
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == published_shapes()
    copied = model.timm_state_dict()
    assert copied.keys() == model.state_dict().keys()
    copied["cls_token"].zero_()
    assert model.cls_token.any()


def test_a_published_checkpoint_loads(tmp_path):
    values = {name: draw(*shape, seed=i) for i, (name, shape) in enumerate(published_shapes().items())}
    head = {"head.weight": draw(1000, 384), "head.bias": draw(1000)}
    file = tmp_path / "81.5_T2T_ViT_14.pth.tar"
    torch.save({"state_dict_ema": values | head}, file)
    model = create_backbone("t2t_vit_14", checkpoint=file)
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())
    assert not model.pos_embed.requires_grad and not model.tokens_to_token.attention2.w.requires_grad


@pytest.mark.parametrize("positions, dim", [(197, 384), (5, 6)])
def test_sinusoid_table(positions, dim):
    table = sinusoid(positions, dim)
    assert table.shape == (1, positions, dim) and table.dtype == torch.float32
    expected = torch.tensor([position(p, dim) for p in range(positions)], dtype=torch.float64)
    torch.testing.assert_close(table[0].double(), expected, atol=6e-8, rtol=0)  # half a step of float32 below 1
    assert table[0, 0].tolist() == [0, 1] * (dim // 2)


def test_forward_is_the_slow_version_at_224():
    check_forward(loud(create_backbone("t2t_nano")), depth=2, heads=2)


def test_forward_is_the_slow_version_at_full_width():
    check_forward(loud(create_backbone("t2t_vit_14", image_size=32)), depth=14, heads=6)


@pytest.mark.slow
def test_forward_is_the_slow_version_at_full_size():
    check_forward(loud(create_backbone("t2t_vit_14")), depth=14, heads=6)


def test_fresh_weights():
    model = create_backbone("t2t_vit_14")
    for name in ("attention1", "attention2"):
        w = getattr(model.tokens_to_token, name).w
        torch.testing.assert_close(w @ w.T, 32 * torch.eye(32), atol=1e-4, rtol=0)
    assert not torch.equal(model.tokens_to_token.attention1.w, model.tokens_to_token.attention2.w)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert 0.018 < module.weight.std() < 0.022 and (module.bias is None or not module.bias.any())
    assert 0.015 < model.cls_token.std() < 0.025
    assert all(module.eps == 1e-5 for module in model.modules() if isinstance(module, nn.LayerNorm))


def test_random_features_approximate_the_exponential_of_softmax():
    torch.manual_seed(0)
    layer = TokenPerformer(8, 8, dropout=0.0).double()
    blocks = [nn.init.orthogonal_(torch.empty(8, 8, dtype=torch.float64)) for _ in range(4000)]
    lengths = torch.randn(32000, 8, dtype=torch.float64).norm(dim=1, keepdim=True)
    layer.w = nn.Parameter(torch.cat(blocks) * lengths, requires_grad=False)
    q, k = draw(1, 5, 8, seed=1).double() * 0.3, draw(1, 5, 8, seed=2).double() * 0.3
    products = layer.random_features(q) @ layer.random_features(k).mT
    torch.testing.assert_close(products, torch.exp(q @ k.mT), rtol=0.05, atol=0)


def test_what_trains_and_what_does_not():
    model = create_backbone("t2t_nano", image_size=32)
    fixed = {"pos_embed", "tokens_to_token.attention1.w", "tokens_to_token.attention2.w"}
    assert {name for name, value in model.named_parameters() if not value.requires_grad} == fixed
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn_like(value) * 0.1)
    feature, tokens = model(draw(2, 3, 32, 32))
    (feature.square().sum() + tokens.pow(3).sum()).backward()
    assert {name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()} == fixed


@pytest.mark.parametrize("image_size, side, task_side", [(32, 2, 1), (48, 3, 2), (64, 4, 2), (224, 14, 7)])
def test_other_image_sizes(image_size, side, task_side):
    model = create_backbone("t2t_nano", image_size=image_size)
    feature, tokens = model(draw(1, 3, image_size, image_size))
    assert feature.shape == (1, 64) and tokens.shape == (1, side**2, 64)
    assert (model.side, model.task_side) == (side, task_side)
    pooled = F.avg_pool2d(tokens.mT.unflatten(2, (side, side)), 3, stride=2, padding=1, count_include_pad=False)
    assert pooled.shape[2:] == (task_side, task_side)


def test_tokens_lie_row_by_row():
    """A bright spot shows in the token of its place."""
    model = loud(create_backbone("t2t_nano", image_size=64))
    dark = torch.zeros(1, 3, 64, 64, dtype=torch.float64)
    spot = dark.clone()
    spot[:, :, 22:26, 54:58] = 3  # inside row 1, column 3
    seen = []
    model.blocks = nn.Identity()  # what enters the transformer: beyond it, and through the performer, all tokens mix
    for images in (dark, spot):
        seen.append(model(images)[1][0])
    assert (seen[1] - seen[0]).norm(dim=1).argmax() == 1 * 4 + 3


@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"drop_path": 0.5}])
def test_dropout_acts_in_training_only(options):
    torch.manual_seed(0)
    model, images = create_backbone("t2t_nano", image_size=32, **options), draw(8, 3, 32, 32)
    assert not torch.equal(model(images)[1], model(images)[1])
    model.eval()
    assert torch.equal(model(images)[1], model(images)[1])
    plain = create_backbone("t2t_nano", image_size=32)
    load_weights(plain, model.state_dict())
    assert torch.equal(model(images)[1], plain.train()(images)[1])  # and there is none unless asked for


def test_where_dropout_acts():
    model = create_backbone("t2t_nano", image_size=32, dropout=0.3, drop_path=0.2)
    rates = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    active = {name for name, rate in rates.items() if rate}
    assert active == {f"tokens_to_token.attention{i}.{part}" for i in (1, 2) for part in ("drop", "mlp.3")}
    assert [getattr(block.drop_path2, "drop_prob", 0.0) for block in model.blocks] == [0.0, 0.2]


def test_the_performer_stays_in_float32_under_autocast():
    model, x = create_backbone("t2t_vit_14", image_size=32), draw(2, 64, 147) * 3
    layer = model.tokens_to_token.attention1
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x.bfloat16())
        feature, _ = model(draw(2, 3, 32, 32))
        assert model.tokens_to_token.project(mixed.repeat(1, 1, 9)).dtype == torch.bfloat16  # autocast is on again
    assert mixed.dtype == torch.float32 and torch.equal(mixed, layer(x.bfloat16().float()))
    assert feature.isfinite().all()


def train_under_autocast(model, steps, batch, lr=1e-3):
    """Classify random images, which has it fit noise: weights and activations grow as they will."""
    head = nn.Linear(model.dim, 10)
    parameters = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)
    labels = torch.arange(4 * batch) % 10
    images = draw(4 * batch, 3, model.image_size, model.image_size)
    losses = []
    for step in range(steps):
        part = slice(step % 4 * batch, (step % 4 + 1) * batch)
        with torch.autocast("cpu", torch.bfloat16):
            feature, tokens = model(images[part])
            loss = F.cross_entropy(head(feature), labels[part]) + tokens.float().mean((0, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in parameters if p.grad is not None), f"step {step}"
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all() and all(p.isfinite().all() for p in parameters)
    return losses


@pytest.mark.long
def test_no_nan_in_200_steps_under_bf16_autocast():
    """At half the side: a quarter of the time. At 224 px: the next two."""
    torch.manual_seed(0)
    backbone = create_backbone("t2t_nano", image_size=112, dropout=0.1).train()
    losses = train_under_autocast(backbone, steps=200, batch=2)
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:20])  # it did train


def test_no_nan_in_a_few_steps_under_bf16_autocast():
    torch.manual_seed(0)
    train_under_autocast(create_backbone("t2t_nano", image_size=112).train(), steps=5, batch=2)


@pytest.mark.slow
def test_no_nan_in_200_steps_of_the_full_size_under_bf16_autocast():
    torch.manual_seed(0)
    train_under_autocast(create_backbone("t2t_vit_14", dropout=0.1, drop_path=0.1).train(), steps=200, batch=2)
