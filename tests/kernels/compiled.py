"""Compiles every kernel for a GPU that need not be here, and prints the shared memory of each in bytes, as JSON.

Usage: compiled.py COMPUTE_CAPABILITY DTYPE HEAD_SIZE. Outside the tests' process, where Triton interprets.
"""

import json
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lina_lab.kernels import convolution, convolution_triton, linear, linear_gradient_triton, linear_triton

OF_THE_MODEL = {"left", "right", "qkv", "dqkv", "local", "out", "gradient", "x", "weight", "bias"}
FLOAT32 = {
    *("moments", "dmoments", "partial", "key", "mass", "value", "dkey", "dmass", "dvalue"),
    *("product_weight", "left_weight", "right_weight"),
}


def shared_memory(kernel, capability: int, dtype: str, constants: dict, missing: tuple[str, ...] = ()) -> int:
    constants = {**constants, **dict.fromkeys(missing)}
    warps = constants.pop("num_warps", 4)
    kinds = dict.fromkeys(OF_THE_MODEL, f"*{dtype}") | dict.fromkeys(FLOAT32, "*fp32") | {"scale": "fp32"}
    names = [parameter.name for parameter in kernel.params]
    constants = {name: value for name, value in constants.items() if name in names}
    signature = {name: "constexpr" if name in constants else kinds.get(name, "i32") for name in names}
    # Of pointers and sizes Triton knows, as it would of an ordinary model, that 16 divides them.
    hints = {
        (index,): [["tt.divisibility", 16]]
        for index, kind in enumerate(signature.values())
        if kind not in ("constexpr", "fp32")
    }
    source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()}, hints)
    return triton.compile(source, GPUTarget("cuda", capability, 32), {"num_warps": warps}).metadata.shared


def main(capability: int, dtype: str, size: int) -> None:
    qkv = torch.empty(1, 1, 3 * 4 * size, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[dtype])
    full = linear._constants(qkv, 4, "elu1", 1e-6) | {"DIVISION": True, "RIGHT_SUM": False}
    bare = linear._constants(qkv, 4, "relu", 0.0) | {"DIVISION": False, "RIGHT_SUM": True}
    filters = {"KERNEL": 3, "FLIP": False}
    gates = ("key", "mass", "value", "dkey", "dmass", "dvalue", "local", "bias")
    weights = ("product_weight", "left_weight", "right_weight")
    shared = {}
    for name in ("accumulate", "read", "query_gradient", "key_value_gradient"):
        kernel = getattr(linear_gradient_triton if "gradient" in name else linear_triton, name)
        full_gates, bare_gates = (("right_weight",), ()) if name == "query_gradient" else ((), gates + weights)
        sums = {"BLOCK": linear._sum_block(size)} if name == "accumulate" else {}
        shared[name] = max(
            shared_memory(kernel, capability, dtype, full | sums, full_gates),
            shared_memory(kernel, capability, dtype, bare | sums, bare_gates),
        )
    shared["convolve"] = max(
        shared_memory(convolution_triton.convolve, capability, dtype, filters | convolution.FORWARD, missing)
        for missing in ((), ("bias",))
    )
    shared["filter_gradient"] = shared_memory(
        convolution_triton.filter_gradient, capability, dtype, filters | convolution.GRADIENT
    )
    print(json.dumps(shared))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
