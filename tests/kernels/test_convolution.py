"""The depthwise convolution's kernels against its sum, position by position in float64, and against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lina_lab.kernels import convolution
from lina_lab.kernels.convolution import depthwise_convolution

pytestmark = pytest.mark.slow

B = 2
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOAT32 = 2e-6
"""Relative to a tensor's largest value; 3e-7 was seen."""


class Case:
    """Random inputs of a call."""

    def __init__(self, layout: tuple[int, int, int], channels: int, kernel: int, dtype: torch.dtype = torch.float32):
        generator = torch.Generator().manual_seed(kernel)
        prefix, height, width = self.layout = layout
        shapes = [(B, prefix + height * width, channels), (channels, 1, kernel, kernel), (channels,)]
        self.inputs = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
        self.cotangent = torch.randn(B, height * width, channels, generator=generator).to(dtype)

    def run(self, function, leaves: list[Tensor], cotangent: Tensor) -> list[Tensor]:
        """The output and the gradients of x, weight and bias."""
        leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        out = function(*leaves, self.layout)
        return [t.detach().cpu() for t in (out, *torch.autograd.grad(out, leaves, cotangent))]

    def kernels(self) -> list[Tensor]:
        return self.run(depthwise_convolution, [t.to(DEVICE) for t in self.inputs], self.cotangent.to(DEVICE))

    def check(self, definition) -> None:
        exact = self.run(definition, [t.double() for t in self.inputs], self.cotangent.double())
        for name, actual, expected in zip(("output", "x", "weight", "bias"), self.kernels(), exact, strict=True):
            assert actual.dtype == self.cotangent.dtype
            assert actual.shape == expected.shape
            half_a_unit = torch.finfo(actual.dtype).eps / 2
            allowed = FLOAT32 * expected.abs().max() + half_a_unit * expected.abs()
            assert ((actual.double() - expected).abs() <= allowed).all(), name


def position_by_position(x: Tensor, weight: Tensor, bias: Tensor, layout: tuple[int, int, int]) -> Tensor:
    """out[y, x] = bias + Σ filter[i, j] in[y + i - K//2, x + j - K//2] over what lies in the grid."""
    prefix, height, width = layout
    half = weight.shape[-1] // 2
    rows = []
    for y in range(height):
        for column in range(width):
            total = bias.expand(B, -1)
            for i in range(max(0, y - half), min(height, y + half + 1)):
                for j in range(max(0, column - half), min(width, column + half + 1)):
                    total = total + weight[:, 0, i - y + half, j - column + half] * x[:, prefix + i * width + j]
            rows.append(total)
    return torch.stack(rows, 1)


def pytorch(x: Tensor, weight: Tensor, bias: Tensor, layout: tuple[int, int, int]) -> Tensor:
    prefix, height, width = layout
    grid = x[:, prefix:].mT.unflatten(-1, (height, width))
    return F.conv2d(grid, weight, bias, padding="same", groups=len(bias)).flatten(2).mT


@pytest.mark.parametrize(
    ("kernel", "layout"),
    [(3, (2, 5, 3)), (5, (2, 5, 3)), (7, (2, 5, 3)), (5, (0, 1, 4)), (3, (1, 3, 1)), (7, (3, 1, 1))],
    ids=str,
)
def test_output_and_gradients_equal_the_definition(layout, kernel):
    Case(layout, 5, kernel).check(position_by_position)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_grids_and_channels_beyond_a_program_round_once(dtype):
    """143 positions are five programs, or two of the filter's gradient; 67 channels are two and three."""
    Case((7, 13, 11), 67, 3, dtype).check(pytorch)


def test_the_prefix_neither_gives_nor_receives():
    case = Case((4, 3, 5), 5, 3)
    out, dx, _, _ = case.kernels()
    assert not dx[:, :4].any()
    case.inputs[0][:, :4] = torch.nan
    assert torch.equal(case.kernels()[0], out)


def test_equal_calls_give_equal_bits_and_a_sample_does_not_see_its_batch():
    case = Case((1, 7, 19), 5, 3, torch.bfloat16)
    first, second = case.kernels(), case.kernels()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    case.inputs[0], case.cotangent = case.inputs[0][1:], case.cotangent[1:]
    alone = case.kernels()
    assert torch.equal(first[0][1:], alone[0])
    assert torch.equal(first[1][1:], alone[1])


def test_tensors_that_are_not_contiguous_give_the_same_bits():
    case = Case((2, 5, 3), 5, 3)
    expected = case.kernels()
    case.inputs[:2] = (t.transpose(0, -1).contiguous().transpose(0, -1) for t in case.inputs[:2])
    wide = torch.cat([case.cotangent, case.cotangent], 1)
    for cotangent in (wide[:, :15], case.cotangent.mT.contiguous().mT):
        case.cotangent = cotangent
        assert all(torch.equal(a, b) for a, b in zip(case.kernels(), expected, strict=True))


def test_under_autocast_it_computes_in_its_dtype_like_every_convolution():
    case = Case((2, 5, 3), 5, 3)
    leaves = [t.to(DEVICE) for t in case.inputs]
    with torch.autocast(DEVICE, torch.bfloat16):
        out = depthwise_convolution(*leaves, case.layout)
        assert out.dtype == pytorch(*leaves, case.layout).dtype == torch.bfloat16
    assert torch.equal(out, depthwise_convolution(*(t.bfloat16() for t in leaves), case.layout))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
def test_the_operators_keep_what_they_promise_the_compiler():
    case = Case((2, 5, 3), 5, 3)
    leaves = [t.to(DEVICE).requires_grad_() for t in case.inputs]
    torch.library.opcheck(convolution._convolution, (*leaves, 5, 3))
    x, weight, _ = (t.detach() for t in leaves)
    torch.library.opcheck(convolution._convolution_backward, (case.cotangent.to(DEVICE), x, weight, 5, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": (1, 5, 3)}, "1 [+] 5 x 3 tokens, not 17"),
        ({"weight": torch.ones(4, 1, 3, 3)}, r"\(5, 1, K, K\) with an odd K, not \(4, 1, 3, 3\)"),
        ({"weight": torch.ones(5, 1, 4, 4)}, "odd K"),
        ({"bias": torch.ones(4)}, r"bias must be \(5,\), not \(4,\)"),
        ({"x": torch.ones(2, 17, 5).double()}, "the kernels need float32, bfloat16 or float16, not float64"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    case = Case((2, 5, 3), 5, 3)
    arguments = dict(zip(("x", "weight", "bias", "layout"), (*case.inputs, case.layout), strict=True)) | change
    arguments = {k: v.to(DEVICE) if isinstance(v, Tensor) else v for k, v in arguments.items()}
    with pytest.raises(ValueError, match=message):
        depthwise_convolution(**arguments)
