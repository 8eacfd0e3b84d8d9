"""Where kernels run, and that nothing needs Triton before they do."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lina_lab.kernels.availability import missing, usable

ROOT = Path(__file__).parents[2]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_interpreter_runs_on_the_processor_and_is_never_chosen(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert missing(CPU, torch.bfloat16, 64) is None
    assert not usable(CPU, torch.bfloat16, 64)
    monkeypatch.delenv("TRITON_INTERPRET")
    assert missing(CPU, torch.bfloat16, 64) == "an NVIDIA GPU, not cpu"


@pytest.mark.parametrize(
    ("dtype", "size", "capability", "reason"),
    [
        (torch.float32, 128, (8, 0), None),
        (torch.bfloat16, 1, (9, 0), None),
        (torch.float16, 96, (12, 0), None),
        (torch.float64, 64, (9, 0), "float32, bfloat16 or float16, not float64"),
        (torch.float16, 129, (9, 0), "heads of 1 to 128 channels, not 129"),
        (torch.float16, 64, (7, 5), "compute capability 8.0, not 7.5"),
    ],
)
def test_a_gpu_is_used_if_dtype_head_and_generation_fit(monkeypatch, dtype, size, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert missing(CUDA, dtype, size) == reason
    assert usable(CUDA, dtype, size) == (reason is None)


@pytest.mark.slow
def test_without_triton_the_room_imports_and_says_what_is_missing():
    code = """
import sys, torch
sys.modules["triton"] = None
import lina_lab.kernels.linear, lina_lab.kernels.convolution
from lina_lab.kernels.availability import missing
print(missing(torch.device("cuda"), torch.float32, 64))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "the package triton, which is not installed\n"


@pytest.mark.slow
def test_importing_the_room_does_not_import_triton():
    """It costs a second, and most runs have no use for it."""
    code = "import sys, lina_lab.kernels.linear, lina_lab.kernels.convolution; print('triton.language' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"
