"""What the compiled loops compute by themselves, against torch and against numbers worked out by hand."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from faithcheck_circuits.transformer import kernels
from faithcheck_circuits.transformer.kernels import CompressedSite, compressed
from hypothesis import given
from hypothesis import strategies as st

TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
KERNELS = Path(kernels.__file__)


def site(weight, bias=None):
    weight = np.asarray(weight)
    bias = np.zeros(len(weight), weight.dtype) if bias is None else np.asarray(bias, weight.dtype)
    return CompressedSite(compressed(weight), compressed(weight.T), bias)


@given(seed=st.integers(0, 2**20), share=st.sampled_from([0.0, 0.2, 1.0]), rows=st.integers(0, 9))
def test_a_compressed_matrix_multiplies_as_the_matrix(seed, share, rows):
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, 7)) * (random.random((rows, 7)) < share)
    x = random.normal(size=(7, 5))
    found = np.ones((rows, 5))
    kernels.add_product(compressed(matrix), x, found)
    assert np.allclose(found, 1 + matrix @ x, rtol=0, atol=1e-12)


@TYPES
def test_gelu_and_its_slope_are_those_of_the_normal_distribution(dtype):
    """Neurons that read one source each, of weight 1: their values are GELU of the source's."""
    x = np.concatenate([np.linspace(-14, 14, 20001), [0.0, 1e-30, -1e-30, 1e4, -1e4, 1e30, -1e30, 1e38, -1e38]]).astype(
        dtype
    )
    one = np.ones(1, dtype)
    [values], [slopes] = kernels.neurons(site(one[:, None]), np.arange(1), one, x[None])
    exact = torch.from_numpy(x).double().requires_grad_()
    F.gelu(exact).sum().backward()
    within = 4 * np.finfo(dtype).eps * np.maximum(1, np.abs(x))
    assert (np.abs(values - F.gelu(exact).detach().numpy()) <= within).all()
    assert (np.abs(slopes - exact.grad.numpy()) <= 4 * np.finfo(dtype).eps).all()


@TYPES
def test_gelu_of_what_is_not_finite_is_not_finite(dtype):
    one, x = np.ones(1, dtype), np.array([[np.nan, np.inf, 1.0]], dtype)
    values, _ = kernels.neurons(site(one[:, None]), np.arange(1), one, x)
    assert np.isfinite(values[0]).tolist() == [False, False, True]


def test_a_query_mixes_what_it_sees_and_a_sink():
    """Scores of log 2 and log 3 beside a sink of 0 are shares of 2, 3 and 1 in 6."""
    q, k = np.ones((1, 1, 1, 2)), np.log([[[[2.0, 3.0]]]])
    v, pattern, mixed = np.array([[[[6.0, 12.0]]]]), np.empty((1, 1, 2, 3)), np.empty((1, 1, 1, 2))
    kernels.mix(q, k, v, np.zeros((1, 1)), np.array([[0, 1], [0, 1]]), np.array([[1, 2]]), 0, 1, pattern, mixed)
    assert pattern[0, 0] == pytest.approx(np.array([[2 / 3, 0, 1 / 3], [1 / 3, 1 / 2, 1 / 6]]))
    assert mixed[0, 0, 0] == pytest.approx([4, 8])


def test_only_what_is_on_is_read():
    """A source that is off may hold anything: it has no row."""
    weights, source = site([[1.0, 2.0]]), np.array([[3.0], [np.nan]])
    x = np.zeros((1, 1))
    kernels.write(weights, np.ones(1), np.array([1.0, 0.0]), np.arange(2), source, x)
    assert x.tolist() == [[3.0]]


def test_columns_that_come_twice_are_added_up():
    found = kernels.spread(np.array([[1.0, 2.0, 4.0]]), np.array([2, 0, 2]), 4)
    assert found.tolist() == [[2.0, 0.0, 5.0, 0.0]]


def test_the_scale_of_a_norm_is_one_over_the_root_mean_square():
    found = kernels.inverse_norm(np.array([[3.0, 0.0], [4.0, 0.0]]), np.array([11.0, 0.0]), 4, 1e-6)
    assert found == pytest.approx([1 / math.sqrt(9 + 1e-6), 1000.0])


def test_it_compiles_where_nothing_can_be_kept(tmp_path):
    """In a read-only installation with no home, numba finds no place for what it compiles."""
    copy = tmp_path / "loops.py"
    shutil.copy(KERNELS, copy)
    code = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "import loops, numpy as np\n"
        "found = loops.inverse_norm(np.ones((4, 1)), np.zeros(1), 4, 0.0)\n"
        "print(found.tolist(), type(loops.inverse_norm._cache).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "[1.0] NullCache\n"), done.stderr


def test_it_runs_where_compiling_is_turned_off():
    code = (
        "from faithcheck_circuits.transformer import kernels\n"
        "import numpy as np\n"
        "print(kernels.inverse_norm(np.ones((4, 1)), np.zeros(1), 4, 0.0).tolist())\n"
    )
    env = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env)
    assert (done.returncode, done.stdout) == (0, "[1.0]\n"), done.stderr


@pytest.mark.parametrize("damage", ["emptied", "cut off", "cannot be written"])
def test_a_damaged_cache_is_no_cache(damage, tmp_path):
    shutil.copy(KERNELS, tmp_path / "loops.py")
    cache = tmp_path / "cache"
    code = "import loops, numpy as np; print(loops.inverse_norm(np.ones((4, 1)), np.zeros(1), 4, 0.0).tolist())"
    run = [sys.executable, "-c", code]
    if damage == "cannot be written":
        run = ["bash", "-c", 'ulimit -f 1; exec "$0" "$@"', *run]
    for _ in range(2):
        done = subprocess.run(
            run, cwd=tmp_path, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)}, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, "[1.0]\n"), done.stderr
        kept = [path for path in cache.rglob("*") if path.suffix in (".nbi", ".nbc")]
        assert bool(kept) == (damage != "cannot be written")
        for path in kept:
            path.write_bytes(b"" if damage == "emptied" else path.read_bytes()[:100])
