"""The interpreter takes what a compiler would refuse: here every kernel is compiled for a GPU that is not at hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KERNELS = {"accumulate", "read", "query_gradient", "key_value_gradient", "convolve", "filter_gradient"}


def test_every_kernel_compiles_for_a_gpu_and_fits_its_shared_memory(tmp_path):
    """With and without gates, `local` and bias. 99 KiB are what the smallest GPU of this generation has for a block."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, Path(__file__).with_name("compiled.py"), "90", "bf16", "64"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    shared = json.loads(done.stdout)
    assert shared.keys() == KERNELS
    assert max(shared.values()) <= 99 * 1024
