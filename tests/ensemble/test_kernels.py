"""The kernels of a stack, interpreted on the CPU in float32, against torch's own layers in float64, network by network.

Tensor cores and bfloat16 need a GPU: ``python -m benchmarks.gpu`` compares them there.
"""

import os
import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from certssb_core.ensemble import batched, layers
from certssb_core.ensemble.models import build
from certssb_core.ensemble.stack import Stack

pytest.importorskip("triton")  # tests/conftest.py has it interpret kernels
from certssb_core.ensemble.kernels import convolution, normalisation, pooling

PRECISION = 1e-6
"""Largest relative error of float32 sums, as a norm; one in bfloat16 would be 1e-3."""


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def compare(of_one, layer, tensors: list[torch.Tensor]) -> None:
    """Compare answers and gradients of a mapped kernel with those of ``layer``, called for each network alone."""
    exact = [tensor.double().requires_grad_() for tensor in tensors]
    found = [tensor.clone().requires_grad_() for tensor in tensors]
    wanted = torch.stack([layer(*own) for own in zip(*exact, strict=True)])
    given = random(*wanted.shape, seed=9)
    wanted.backward(given.double())
    answer = torch.vmap(of_one)(*found)
    answer.backward(given)
    assert answer.dtype == torch.float32
    pairs = [(answer, wanted), *((one.grad, other.grad) for one, other in zip(found, exact, strict=True))]
    for one, other in pairs:
        assert one.shape == other.shape
        assert (one.double() - other).norm() <= PRECISION * other.norm()


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    ("channels", "filters", "taps", "size", "stride", "padding"),
    [
        (1, 5, (5, 5), (9, 11), 1, (0, 0)),
        (3, 16, (3, 3), (8, 8), 1, (1, 1)),
        (16, 32, (3, 3), (7, 8), 2, (1, 1)),
        (16, 20, (1, 1), (7, 8), 2, (0, 0)),
        (20, 7, (3, 2), (6, 5), 1, (0, 1)),
        (80, 140, (3, 3), (5, 5), 1, (1, 1)),
    ],
)
def test_convolution(channels, filters, taps, size, stride, padding, biased):
    tensors = [random(2, 3, channels, *size), random(2, filters, channels, *taps, seed=1)]
    tensors += [random(2, filters, seed=2)] * biased

    def of_one(x, weight, bias=None):
        return convolution.convolution(x, weight, bias, stride, list(padding))

    def layer(x, weight, bias=None):
        return F.conv2d(x, weight, bias, stride, padding)

    compare(of_one, layer, tensors)


def test_a_filters_gradient_is_summed_in_parts(monkeypatch):
    monkeypatch.setattr(convolution, "SHARE", 64)
    tensors = [random(2, 3, 4, 9, 9), random(2, 6, 4, 3, 3, seed=1)]
    compare(
        lambda x, weight: convolution.convolution(x, weight, None, 1, [1, 1]),
        lambda x, weight: F.conv2d(x, weight, None, 1, 1),
        tensors,
    )


@pytest.mark.parametrize(("channels", "size"), [(16, (5, 7)), (64, (9, 9)), (512, (3, 3))])
def test_normalisation(channels, size):
    tensors = [2 * random(2, 3, channels, *size) + 3, random(2, channels, seed=1), random(2, channels, seed=2)]
    compare(
        lambda x, scale, shift: normalisation.normalisation(x, scale, shift, 8, 1e-5),
        lambda x, scale, shift: F.group_norm(x, 8, scale, shift, 1e-5),
        tensors,
    )


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_pooling_and_its_gradient_where_several_are_largest(size):
    tensors = [random(2, 3, 5, *size).round()]
    compare(pooling.pooling, lambda x: F.max_pool2d(x, 2), tensors)


def test_pooling_passes_on_what_is_no_number():
    x = torch.tensor([1.0, torch.nan, 2.0, 3.0]).view(1, 1, 1, 2, 2)
    assert torch.vmap(pooling.pooling)(x).isnan().all()


IMAGES, FILTERS, CHANNELS = random(2, 3, 16, 6, 5), random(2, 8, 16, 3, 3, seed=1), random(2, 16, seed=2)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (convolution.convolve, (IMAGES, FILTERS, random(2, 8), 2, [1, 1])),
        (convolution.convolve_back, (random(2, 3, 8, 3, 3), IMAGES, FILTERS, 2, [1, 1], True)),
        (convolution.convolve_back, (random(2, 3, 8, 3, 3), IMAGES, FILTERS, 2, [1, 1], False)),
        (normalisation.normalise, (IMAGES, CHANNELS, CHANNELS, 8, 1e-5)),
        (
            normalisation.normalise_back,
            (IMAGES, IMAGES, CHANNELS, IMAGES[..., 0, 0].clone(), IMAGES[..., 0, 1].clone(), 8),
        ),
        (pooling.pool, (IMAGES,)),
        (pooling.pool_back, (random(2, 3, 16, 3, 2), IMAGES)),
    ],
    ids=lambda value: getattr(value, "_name", ""),
)
def test_shapes_that_tests_without_a_gpu_see_are_those_of_the_kernels(operation, arguments):
    torch.library.opcheck(operation, arguments, test_utils=("test_schema", "test_faketensor"))


def test_tensors_that_networks_share_are_laid_out_for_each():
    x, weight = random(2, 3, 4, 6, 6), random(5, 4, 3, 3, seed=1)
    answer = torch.vmap(lambda own: convolution.convolution(own, weight, None, 1, [0, 0]))(x)
    assert torch.allclose(answer, torch.stack([F.conv2d(own, weight) for own in x]), atol=1e-4)


@pytest.mark.parametrize(
    ("model", "channels", "side"),
    [("small-cnn", 1, 8), pytest.param("cifar-resnet-16-32-64", 3, 8, marks=pytest.mark.slow)],
)
def test_a_stack_has_the_gradients_of_products(monkeypatch, model, channels, side):
    networks = [build(model, channels=channels, side=side, classes=2, seed=0, member=member) for member in range(2)]
    images, labels = random(2, 3, channels, side, side), torch.tensor([[0, 1, 1], [1, 0, 1]])
    rows, found, asked = torch.arange(3).expand(2, 3), [], []
    for kernels in (True, False):
        monkeypatch.setattr(batched, "has_kernel", lambda x, kernels=kernels: asked.append(kernels) or kernels)
        stack = Stack(networks, list(images), list(labels), torch.float32)
        stack.gradients(rows)
        found.append(torch.cat([weights.grad.flatten() for weights in stack.parameters]))
    assert set(asked) == {True, False}
    assert (found[0] - found[1]).norm() < 1e-5 * found[1].norm()


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from certssb_core.ensemble.kernels import convolution, normalisation, pooling

SHAPE = dict(C=16, FILTERS=32, KH=3, KW=3, STRIDE=2, PLACES=128, WIDE=32, DEPTH=16)
FLOATS = ("means", "widths", "scales", "shifts")
NUMBERS = ("images", "rows", "columns", "rows_out", "columns_out", "up", "left", "share", "members", "pixels", "count")


def compiled(kernel, capability, float32=(), **constants):
    kind = {name: "i32" for name in NUMBERS} | {"eps": "fp32"}
    kind |= {name: "*fp32" for name in (*FLOATS, *float32)} | {name: "constexpr" for name in constants}
    signature = {name: kind.get(name, "*bf16") for name in kernel.arg_names}
    source = ASTSource(kernel, signature, constants, {})
    return triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]


for capability in (80, 90):
    for back in (False, True):
        assert compiled(convolution._convolve, capability, BIASED=not back, BACK=back, **SHAPE)
        assert compiled(pooling._pool, capability, C=16, BACK=back, VALUES=1024)
    assert compiled(convolution._sum_for_filters, capability, float32=["out"], **SHAPE)
    assert compiled(normalisation._normalise, capability, C=16, GROUPS=8, PIXELS=64)
    assert compiled(normalisation._normalise_back, capability, C=16, GROUPS=8, PIXELS=64)
"""


@pytest.mark.slow
def test_every_kernel_compiles_in_bfloat16_for_two_kinds_of_gpu(tmp_path):
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_channels_that_are_no_power_of_two_are_normalised_by_torch(monkeypatch):
    monkeypatch.setattr(batched, "has_kernel", lambda x: True)
    x, scale, shift = random(2, 3, 24, 4, 4), random(2, 24, seed=1), random(2, 24, seed=2)

    def of_one(*own):
        with batched.Stacking():
            return layers.group_norm(own[0], 8, own[1], own[2], 1e-5)

    answer = torch.vmap(of_one)(x, scale, shift)
    wanted = [F.group_norm(one, 8, a, b, 1e-5) for one, a, b in zip(x, scale, shift, strict=True)]
    assert torch.allclose(answer, torch.stack(wanted), atol=1e-5)


def test_on_a_cpu_no_kernel_is_taken():
    assert not batched.has_kernel(random(2, 2).bfloat16())


def test_where_kernels_cannot_be_compiled_products_do_the_same(monkeypatch):
    def fails(x):
        raise RuntimeError("Failed to find C compiler")

    try:
        with monkeypatch.context() as broken, FakeTensorMode():
            broken.setattr(pooling, "pool", fails)
            batched._kernels_work.cache_clear()
            with pytest.warns(UserWarning, match="Failed to find C compiler"):
                assert not batched.has_kernel(torch.empty(2, dtype=torch.bfloat16, device="cuda"))
    finally:
        batched._kernels_work.cache_clear()
    with FakeTensorMode():
        assert batched.has_kernel(torch.empty(2, dtype=torch.bfloat16, device="cuda"))
