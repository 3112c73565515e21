"""What stands in for OpenBLAS computes what numpy computes, in every order, transposition and kind of number."""

import ctypes
import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest

from publicai_edge.runtime import llamacpp

ORDERS = {101: "C", 102: "F"}
TRANSPOSED = {111: lambda matrix: matrix, 112: lambda matrix: matrix.T, 113: lambda matrix: matrix.conj().T}
KINDS = {"s": np.float32, "d": np.float64, "c": np.complex64, "z": np.complex128}
SCALARS = {"s": ctypes.c_float, "d": ctypes.c_double}


@pytest.fixture(scope="module")
def blas(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library, compiled by this machine's compiler."""
    target = tmp_path_factory.mktemp("blas") / "blas.so"
    source = Path(llamacpp.__file__).parent / "blas.c"
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-O2", "-fPIC", "-shared", "-o", target]
    subprocess.run([*command, source], check=True)
    return ctypes.CDLL(str(target))


def drawn(kind: str, *shape: int, seed: int = 3) -> np.ndarray:
    dice = np.random.default_rng(seed)
    found = dice.normal(size=shape)
    return (found + 1j * dice.normal(size=shape) if kind in "cz" else found).astype(KINDS[kind])


def at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def scalar(kind: str, value: complex) -> object:
    if kind in SCALARS:
        return SCALARS[kind](value.real)
    kept = np.array([value], KINDS[kind])
    pointer = at(kept)
    pointer.kept = kept  # type: ignore[attr-defined]
    return pointer


def c(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("order", "ta", "tb"), list(itertools.product(ORDERS, TRANSPOSED, TRANSPOSED)))
def test_matrices_are_multiplied_as_numpy_does(blas: ctypes.CDLL, kind: str, order: int, ta: int, tb: int) -> None:
    m, n, k = 3, 4, 5
    one = np.asarray(drawn(kind, *((m, k) if ta == 111 else (k, m))), order=ORDERS[order])
    two = np.asarray(drawn(kind, *((k, n) if tb == 111 else (n, k)), seed=4), order=ORDERS[order])
    out = np.asarray(drawn(kind, m, n, seed=5), order=ORDERS[order])
    leads = [matrix.shape[1] if order == 101 else matrix.shape[0] for matrix in (one, two, out)]
    expected = 2 * (TRANSPOSED[ta](one) @ TRANSPOSED[tb](two)) + 0.5 * out
    call = getattr(blas, f"scipy_cblas_{kind}gemm64_")
    alpha, beta = scalar(kind, 2), scalar(kind, 0.5)
    call(order, ta, tb, c(m), c(n), c(k), alpha, at(one), c(leads[0]), at(two), c(leads[1]), beta, at(out), c(leads[2]))
    np.testing.assert_allclose(out, expected, rtol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("order", "ta", "step"), list(itertools.product(ORDERS, TRANSPOSED, (1, 2, -1))))
def test_vectors_are_multiplied_as_numpy_does(blas: ctypes.CDLL, kind: str, order: int, ta: int, step: int) -> None:
    m, n = 3, 5
    matrix = np.asarray(drawn(kind, m, n), order=ORDERS[order])
    rows, columns = (m, n) if ta == 111 else (n, m)
    whole = drawn(kind, columns * abs(step), seed=4)
    vector = whole[:: abs(step)][::-1] if step < 0 else whole[::step]
    out = np.full(rows, np.nan, KINDS[kind])
    call = getattr(blas, f"scipy_cblas_{kind}gemv64_")
    lead = n if order == 101 else m
    alpha, beta = scalar(kind, 1), scalar(kind, 0)
    call(order, ta, c(m), c(n), alpha, at(matrix), c(lead), at(whole), c(step), beta, at(out), c(1))
    np.testing.assert_allclose(out, TRANSPOSED[ta](matrix) @ vector, rtol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("order", "half", "ta"), list(itertools.product(ORDERS, (121, 122), (111, 112))))
def test_half_of_a_product_with_itself_is_written(blas: ctypes.CDLL, kind: str, order: int, half: int, ta: int) -> None:
    n, k = 4, 3
    one = np.asarray(drawn(kind, *((n, k) if ta == 111 else (k, n))), order=ORDERS[order])
    out = np.zeros((n, n), KINDS[kind], order=ORDERS[order])
    lead = one.shape[1] if order == 101 else one.shape[0]
    call = getattr(blas, f"scipy_cblas_{kind}syrk64_")
    alpha, beta = scalar(kind, 1), scalar(kind, 0)
    call(order, half, ta, c(n), c(k), alpha, at(one), c(lead), beta, at(out), c(n))
    product = TRANSPOSED[ta](one) @ TRANSPOSED[ta](one).T
    expected = np.triu(product) if half == 121 else np.tril(product)
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_products_are_numpys(blas: ctypes.CDLL, kind: str) -> None:
    one, two = drawn(kind, 9), drawn(kind, 9, seed=4)
    if kind in SCALARS:
        call = getattr(blas, f"scipy_cblas_{kind}dot64_")
        call.restype = SCALARS[kind]
        assert call(c(9), at(one), c(1), at(two), c(1)) == pytest.approx(one @ two, rel=1e-5)
        return
    for name, expected in (("dotu_sub", one @ two), ("dotc_sub", np.vdot(one, two))):
        out = np.zeros(1, KINDS[kind])
        getattr(blas, f"scipy_cblas_{kind}{name}64_")(c(9), at(one), c(1), at(two), c(1), at(out))
        np.testing.assert_allclose(out[0], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_is_added_to_another(blas: ctypes.CDLL, kind: str) -> None:
    one, two = drawn(kind, 9), drawn(kind, 9, seed=4)
    expected = two + 3 * one
    getattr(blas, f"scipy_cblas_{kind}axpy64_")(c(9), scalar(kind, 3), at(one), c(1), at(two), c(1))
    np.testing.assert_allclose(two, expected, rtol=1e-5)
