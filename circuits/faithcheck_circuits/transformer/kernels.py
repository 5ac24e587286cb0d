"""Loops that are compiled: a run of the network under masks, the gradients of the masks, and attention.

Activations are [node, column], a node's row a contiguous run of columns; a product is a sum of rows over the weights
that are not 0 between nodes that are on. All compiled functions are in this one file: what is compiled is kept on disk
by the file's own date, and would not follow a change in another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from scipy.special import erfcx

Array = npt.NDArray[Any]

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}


class _Kept:
    """numba's cache on disk, of which a damaged file is none, and which may fail to keep what it is given."""

    def __init__(self, cache: Any):
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *args: Any) -> Any:
        try:
            return self._cache.load_overload(*args)
        except Exception:
            return None

    def save_overload(self, *args: Any) -> None:
        with suppress(Exception):
            self._cache.save_overload(*args)


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled when first called, and kept on disk where there is a place for it."""
    try:
        compiled = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        return numba.njit(**_OPTIONS)(function)
    if hasattr(compiled, "_cache"):  # NUMBA_DISABLE_JIT leaves a function as it is
        compiled._cache = _Kept(compiled._cache)
    return compiled


_inlined = numba.njit(inline="always", **_OPTIONS)
"""For a part of a loop: where it is only called, compilers make no vectors of what is around it."""


_single = np.float32
_HALF, _ONE, _THREE, _ROOT = _single(0.5), _single(1), _single(3), _single(math.sqrt(0.5))
_NONE, _FAR = _single(0), _single(20)
_DENSITY = _single(1 / math.sqrt(2 * math.pi))
_MOST, _PER_LN2 = _single(87), _single(1 / math.log(2))
"""exp(-87) is about the least float32 of full precision."""
_LN2 = _single(1420 / 2048)
_LN2_REST = _single(math.log(2) - 1420 / 2048)
_EXP = tuple(_single((-1) ** n / math.factorial(n)) for n in range(7))


def _tail() -> tuple[np.float32, ...]:
    """The coefficients of erfcx(z) / 2 by powers of (z - 3) / (z + 3): off by less than 3e-8 exp(z^2) for z >= 0."""
    y = np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    fit = np.polynomial.chebyshev.chebfit(y, erfcx(3 * (1 + y) / (1 - y)) / 2, 8)
    return tuple(map(_single, np.polynomial.chebyshev.cheb2poly(fit)))


_TAIL = _tail()


class Compressed(NamedTuple):
    """The entries of a matrix that are not 0, row by row: those of row i are `first[i]` to `first[i + 1]`."""

    first: Array
    column: Array
    value: Array


class CompressedSite(NamedTuple):
    """What a site is computed by: its matrix compressed by rows and by columns, and its bias."""

    weight: Compressed
    transposed: Compressed
    bias: Array


class Keys(NamedTuple):
    """What each query attends to: `query` int[query], where its q is read; `keys` int[query, key], where its keys and
    values are, of which it sees the first `seen` int[query]."""

    query: Array
    keys: Array
    seen: Array


class Heads(NamedTuple):
    """q, k and v before their masks [head, column, channel], and patterns [head, query, key + 1]; in heads that are not
    computed, anything."""

    q: Array
    k: Array
    v: Array
    pattern: Array


def compressed(matrix: Array) -> Compressed:
    row, column = np.nonzero(matrix)
    first = np.zeros(len(matrix) + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=len(matrix)), out=first[1:])
    return Compressed(first, column.astype(np.int32), np.ascontiguousarray(matrix[row, column]))


@_jit
def part(site, rows, place, width):
    """A site's rows, int[row] (none where negative), and of its columns those whose `place` among `width` of them is
    not negative."""
    weights, entries = site.weight, 0
    for i in rows:
        if i >= 0:
            entries += weights.first[i + 1] - weights.first[i]
    first, by_column = np.zeros(len(rows) + 1, np.int64), np.zeros(width + 1, np.int64)
    column, value = np.empty(entries, np.int32), np.empty(entries, weights.value.dtype)
    entries = 0
    for n in range(len(rows)):
        i = max(rows[n], 0)
        for entry in range(weights.first[i], weights.first[i + (rows[n] >= 0)]):
            at = place[weights.column[entry]]
            if at >= 0:
                column[entries], value[entries] = at, weights.value[entry]
                by_column[at + 1] += 1
                entries += 1
        first[n + 1] = entries
    for j in range(width):
        by_column[j + 1] += by_column[j]
    row, turned, free = np.empty(entries, np.int32), np.empty(entries, value.dtype), by_column.copy()
    for n in range(len(rows)):
        for entry in range(first[n], first[n + 1]):
            j = column[entry]
            row[free[j]], turned[free[j]] = n, value[entry]
            free[j] += 1
    weight = Compressed(first, column[:entries].copy(), value[:entries].copy())
    return CompressedSite(weight, Compressed(by_column, row, turned), site.bias[rows])


@_jit
def looked_up(table, rows, columns):
    """Some rows and columns of a table."""
    found = np.empty((len(rows), len(columns)), table.dtype)
    for i in range(len(rows)):
        for s in range(len(columns)):
            found[i, s] = table[rows[i], columns[s]]
    return found


@_inlined
def _add_row(out, weights, row, factor, place, source):
    """out += the sum over j of W[row, j] factor[j] source[place[j]], four at a time. Sources with factor 0 are not
    read."""
    waiting, a, b, c = 0, 0, 0, 0
    fa = fb = fc = source.dtype.type(0)
    for entry in range(weights.first[row], weights.first[row + 1]):
        j = weights.column[entry]
        f = weights.value[entry] * factor[j]
        if f == 0:
            continue
        if waiting == 0:
            a, fa, waiting = place[j], f, 1
        elif waiting == 1:
            b, fb, waiting = place[j], f, 2
        elif waiting == 2:
            c, fc, waiting = place[j], f, 3
        else:
            d, waiting = place[j], 0
            for s in range(len(out)):
                out[s] += fa * source[a, s] + fb * source[b, s] + fc * source[c, s] + f * source[d, s]
    if waiting == 1:
        for s in range(len(out)):
            out[s] += fa * source[a, s]
    elif waiting == 2:
        for s in range(len(out)):
            out[s] += fa * source[a, s] + fb * source[b, s]
    elif waiting == 3:
        for s in range(len(out)):
            out[s] += fa * source[a, s] + fb * source[b, s] + fc * source[c, s]


@_inlined
def _dot(a, b):
    total = a.dtype.type(0)
    for s in range(len(a)):
        total += a[s] * b[s]
    return total


@_jit
def inverse_norm(x, rest, width, eps):
    """1 / sqrt((sum(x^2) + rest) / width + eps) of each column."""
    total = rest.copy()
    for row in x:
        for s in range(len(total)):
            total[s] += row[s] * row[s]
    for s in range(len(total)):
        total[s] = 1 / math.sqrt(total[s] / width + eps)
    return total


@_jit
def read(x, inverse, gain, mask):
    """The rows of a site that reads the stream, before its mask; only those that are on."""
    found = np.empty_like(x)
    for j in range(len(x)):
        if mask[j] != 0:
            for s in range(x.shape[1]):
                found[j, s] = x[j, s] * inverse[s] * gain[j]
    return found


@_jit
def needed(weights, mask, source_mask, asked):
    """bool[source node]: those that are on, and of those asked for the ones that a node which is on reads."""
    found = source_mask != 0
    for i in range(len(mask)):
        if mask[i] != 0:
            for entry in range(weights.first[i], weights.first[i + 1]):
                j = weights.column[entry]
                found[j] = found[j] or asked[j]
    return found


@_jit
def neurons(site, nodes, factor, source):
    """The rows of some neurons, int[node]: their values GELU(bias + what they read), and GELU's slope there."""
    values, place = np.empty((len(nodes), source.shape[1]), source.dtype), np.arange(len(source))
    slopes = np.empty_like(values)
    for n in range(len(nodes)):
        values[n, :] = site.bias[nodes[n]]
        _add_row(values[n], site.weight, nodes[n], factor, place, source)
        if values.itemsize == 4:
            _gelu_single(values[n], slopes[n])
        else:
            _gelu_double(values[n], slopes[n])
    return values, slopes


@_jit
def _gelu_double(x, slope):
    for s in range(len(x)):
        below = 0.5 + 0.5 * math.erf(x[s] * math.sqrt(0.5))
        slope[s] = below + x[s] * math.exp(-0.5 * x[s] * x[s]) / math.sqrt(2 * math.pi)
        x[s] *= below


@_jit
def _gelu_single(x, slope):
    """The same to the precision of float32, in a form that compilers make vectors of.

    With E = exp(-x^2 / 2) the normal distribution is Phi(-|x|) = erfcx(z) E / 2 at z = |x| / sqrt(2), and erfcx a
    polynomial in (z - 3) / (z + 3). E is 2^-k times a polynomial, 2^-k put together from its bits.
    """
    for s in range(len(x)):
        size = abs(x[s])
        power, z = min(_HALF * size * size, _MOST), min(size * _ROOT, _FAR)
        k = np.int32(power * _PER_LN2 + _HALF)
        r = (power - _single(k) * _LN2) - _single(k) * _LN2_REST
        e = _EXP[4] + r * (_EXP[5] + r * _EXP[6])
        e = _EXP[0] + r * (_EXP[1] + r * (_EXP[2] + r * (_EXP[3] + r * e)))
        e *= np.int32((np.int32(127) - k) << np.int32(23)).view(np.float32)
        e = e if power < _MOST else _NONE
        y = (z - _THREE) / (z + _THREE)
        tail = _TAIL[4] + y * (_TAIL[5] + y * (_TAIL[6] + y * (_TAIL[7] + y * _TAIL[8])))
        tail = (_TAIL[0] + y * (_TAIL[1] + y * (_TAIL[2] + y * (_TAIL[3] + y * tail)))) * e
        below = _ONE - tail if x[s] > 0 else tail
        slope[s] = below + x[s] * _DENSITY * e
        x[s] *= below


@_jit
def add_product(weights, source, found):
    """found += W x."""
    factor, place = np.ones(len(source), source.dtype), np.arange(len(source))
    for i in range(len(found)):
        _add_row(found[i], weights, i, factor, place, source)


@_jit
def write(site, mask, factor, place, source, x):
    """Add to the stream what a site's nodes that are on make of their source."""
    row = np.empty(x.shape[1], x.dtype)
    for i in range(len(mask)):
        if mask[i] != 0:
            row[:] = site.bias[i]
            _add_row(row, site.weight, i, factor, place, source)
            for s in range(len(row)):
                x[i, s] += mask[i] * row[s]


@_jit
def by_write(site, mask, asked, factor, place, source, slope, by_x):
    """Backward through `write`: the gradients of the masks of the site, where they are asked for, and of its source,
    and the one towards the source's rows, or towards what these are of which the slope is given, unless it is empty.
    `place` is negative for sources that have no row: their gradient is 0."""
    by_mask, by_factor = np.zeros_like(mask), np.zeros_like(factor)
    by_source, every = np.empty_like(source), np.arange(len(mask))
    row = np.empty(by_x.shape[1], by_x.dtype)
    for i in range(len(mask)):
        if asked[i]:
            row[:] = site.bias[i]
            _add_row(row, site.weight, i, factor, place, source)
            by_mask[i] = _dot(row, by_x[i])
    for j in range(len(factor)):
        if place[j] >= 0:
            at, total = place[j], by_x.dtype.type(0)
            by_source[at] = 0
            _add_row(by_source[at], site.transposed, j, mask, every, by_x)
            for s in range(len(row)):
                total += by_source[at, s] * source[at, s]
            by_factor[j] = total
            if factor[j] != 0 and len(slope):
                for s in range(len(row)):
                    by_source[at, s] *= factor[j] * slope[at, s]
            elif factor[j] != 0:
                for s in range(len(row)):
                    by_source[at, s] *= factor[j]
    return by_mask, by_factor, by_source


@_jit
def by_inputs(site, factor, place, by, asked, found):
    """Add to the rows of what a site is computed from, where asked for, the gradient from those of some of its nodes:
    factor 1, else 0."""
    for j in range(len(found)):
        if asked[j]:
            _add_row(found[j], site.transposed, j, factor, place, by)


@_jit
def by_read(by, x, inverse, share, gain, mask, asked, into):
    """Backward through `read`: the gradient of the mask, where asked for, as it is of all that are on. The one towards
    the stream is added to `into`, unless that is empty. by: the gradient towards the site's rows under its mask. share:
    one over the width that the norm is a mean over, 0 where it is not the stream's own."""
    by_mask, inner = np.zeros_like(mask), np.zeros_like(inverse)
    for j in range(len(x)):
        if not asked[j]:
            continue
        total = x.dtype.type(0)
        for s in range(len(inverse)):
            total += by[j, s] * x[j, s] * inverse[s]
        by_mask[j] = total * gain[j]
        if mask[j] != 0 and len(into):
            factor = mask[j] * gain[j]
            for s in range(len(inverse)):
                one = by[j, s] * inverse[s] * factor
                into[j, s] += one
                inner[s] += one * x[j, s]
    if share and len(into):
        for s in range(len(inner)):
            inner[s] *= inverse[s] * inverse[s] * share
        for j in range(len(x)):
            for s in range(len(inner)):
                into[j, s] -= x[j, s] * inner[s]
    return by_mask


@_jit
def spread(by, at, width):
    """Rows at some columns as rows at all of them, added up where a column comes twice."""
    wide = np.zeros((len(by), width), by.dtype)
    for j in range(len(by)):
        for s in range(len(at)):
            wide[j, at[s]] += by[j, s]
    return wide


@_jit
def _head_values(site, first, wanted, factor, place, source, out):
    """The wanted channels of a head [column, channel], 0 elsewhere."""
    row = np.empty(len(out), out.dtype)
    for i in range(len(wanted)):
        if wanted[i]:
            row[:] = site.bias[first + i]
            _add_row(row, site.weight, first + i, factor, place, source)
            out[:, i] = row
        else:
            out[:, i] = 0


@_inlined
def _dot_channels(a, row, b, other):
    """a[row] . b[other]"""
    total = a.dtype.type(0)
    for i in range(a.shape[1]):
        total += a[row, i] * b[other, i]
    return total


@_inlined
def _add_channels(into, row, factor, a, other):
    """into[row] += factor a[other]."""
    for i in range(a.shape[1]):
        into[row, i] += factor * a[other, i]


@_jit
def _mix(q, k, v, scored, sink, keys, pattern, tile):
    """One head, of q that are scaled: the pattern [query, key + 1], the sink's share last, and the mixed values [query,
    channel]. Where nothing is scored, every score is 0."""
    alone = math.exp(sink)
    for c in range(len(keys.seen)):
        seen, most = keys.seen[c], sink
        pattern[c, seen:] = 0
        if scored:
            for t in range(seen):
                pattern[c, t] = _dot_channels(q, keys.query[c], k, keys.keys[c, t])
                most = max(most, pattern[c, t])
            total = math.exp(sink - most)
            pattern[c, -1] = total
            for t in range(seen):
                pattern[c, t] = math.exp(pattern[c, t] - most)
                total += pattern[c, t]
            for t in range(seen):
                pattern[c, t] /= total
            pattern[c, -1] /= total
        else:
            pattern[c, :seen] = 1 / (seen + alone)
            pattern[c, -1] = 1 - seen / (seen + alone)
        tile[c] = 0
        for t in range(seen):
            _add_channels(tile, c, pattern[c, t], v, keys.keys[c, t])


@_jit
def _by_mix(by, q, k, v, pattern, scored, scale, keys, towards, by_q, by_k, by_v):
    """Add to the gradients towards q, where scored without its scale, k and v, [column, channel]; by: the one towards
    the mixed values. towards: room for a number a key."""
    for c in range(len(keys.seen)):
        query, seen, inner = keys.query[c], keys.seen[c], by.dtype.type(0)
        for t in range(seen):
            _add_channels(by_v, keys.keys[c, t], pattern[c, t], by, c)
        if scored:
            for t in range(seen):
                towards[t] = _dot_channels(by, c, v, keys.keys[c, t])
                inner += pattern[c, t] * towards[t]
            for t in range(seen):
                grad, key = pattern[c, t] * (towards[t] - inner) * scale, keys.keys[c, t]
                _add_channels(by_q, query, grad, k, key)
                _add_channels(by_k, key, grad, q, query)


@_jit
def attend(sites, masks, asked, in_mask, source, q_source, wanted, sinks, scale, keys):
    """The mixed values of the wanted v nodes (bool[node]) [node, query], before their mask; and `Heads`.

    sites, masks and what is asked for: of q, k and v. q_source: what q reads. scale: what scores are multiplied by.
    """
    q_mask, k_mask, v_mask = masks
    heads, columns, queries = len(sinks), source.shape[1], len(keys.seen)
    size, scale = len(v_mask) // max(heads, 1), source.dtype.type(scale)
    q = np.empty((heads, q_source.shape[1], size), source.dtype)
    k, v = np.empty((heads, columns, size), source.dtype), np.empty((heads, columns, size), source.dtype)
    pattern = np.empty((heads, queries, keys.keys.shape[1] + 1), source.dtype)
    mixed, place = np.empty((len(v_mask), queries), source.dtype), np.arange(len(in_mask))
    scaled, tile = np.empty(q.shape[1:], source.dtype), np.empty((queries, size), source.dtype)
    for h in range(heads):
        own = slice(h * size, (h + 1) * size)
        if not wanted[own].any():
            continue
        q_own, k_own, v_own = q[h], k[h], v[h]
        used = (v_mask[own] != 0).any()
        q_on, k_on = q_mask[own] != 0, k_mask[own] != 0
        read_too = (q_on & k_on) | (used & ((q_on & asked[1][own]) | (k_on & asked[0][own])))
        _head_values(sites[0], h * size, read_too, in_mask, place, q_source, q_own)
        _head_values(sites[1], h * size, read_too, in_mask, place, source, k_own)
        _head_values(sites[2], h * size, wanted[own], in_mask, place, source, v_own)
        for i in range(size):
            scaled[:, i] = q_own[:, i] * (q_mask[h * size + i] * k_mask[h * size + i] * scale)
        _mix(scaled, k_own, v_own, (q_on & k_on).any(), sinks[h], keys, pattern[h], tile)
        for i in range(size):
            if wanted[h * size + i]:
                mixed[h * size + i] = tile[:, i]
    return mixed, Heads(q, k, v, pattern)


@_jit
def by_attend(by_mixed, masks, heads, scale, keys):
    """Backward through `attend`: the gradients of the masks of q and k; the rows of q, k and v, of v those that are on,
    of q and k those where both are and some v of their head: 1 there in what comes last, else 0."""
    q_mask, k_mask, v_mask = masks
    count, columns, size = heads.k.shape
    by_q_mask, by_k_mask, passing = np.zeros_like(q_mask), np.zeros_like(k_mask), np.zeros_like(q_mask)
    by_q = np.empty((len(q_mask), heads.q.shape[1]), by_mixed.dtype)
    by_k, by_v = np.empty((len(q_mask), columns), by_mixed.dtype), np.empty((len(q_mask), columns), by_mixed.dtype)
    q_tile, k_tile = np.empty(heads.q.shape[1:], by_mixed.dtype), np.empty((columns, size), by_mixed.dtype)
    v_tile, tile = np.empty((columns, size), by_mixed.dtype), np.zeros((by_mixed.shape[1], size), by_mixed.dtype)
    towards, scale = np.empty(keys.keys.shape[1], by_mixed.dtype), by_mixed.dtype.type(scale)
    for h in range(count):
        start = h * size
        if not (v_mask[start : start + size] != 0).any():
            continue
        for i in range(size):
            if v_mask[start + i] != 0:
                tile[:, i] = by_mixed[start + i]
            else:
                tile[:, i] = 0
        scored = ((q_mask[start : start + size] != 0) | (k_mask[start : start + size] != 0)).any()
        q_tile[:], k_tile[:], v_tile[:] = 0, 0, 0
        q, k, v = heads.q[h], heads.k[h], heads.v[h]
        _by_mix(tile, q, k, v, heads.pattern[h], scored, scale, keys, towards, q_tile, k_tile, v_tile)
        for i in range(size):
            n = start + i
            if scored:
                total = by_mixed.dtype.type(0)
                for s in range(len(q_tile)):
                    total += q[s, i] * q_tile[s, i]
                by_q_mask[n], by_k_mask[n] = total * k_mask[n], total * q_mask[n]
            if q_mask[n] != 0 and k_mask[n] != 0:
                passing[n] = 1
                both = q_mask[n] * k_mask[n]
                for s in range(len(q_tile)):
                    by_q[n, s] = q_tile[s, i] * both
                for s in range(len(k_tile)):
                    by_k[n, s] = k_tile[s, i] * both
            if v_mask[n] != 0:
                by_v[n] = v_tile[:, i]
    return by_q_mask, by_k_mask, by_q, by_k, by_v, passing


@_jit
def mix(q, k, v, sink, keys, count, first, last, pattern, mixed):
    """Some of all members' heads, by their place among them: pattern [member, head, query, key + 1] and mixed values
    [member, head, channel, query]. q, k, v: [member or 1, head, channel, column]; sink: [member or 1, head]; keys and
    count as of `Queries`."""
    heads, size, columns, queries = k.shape[1], k.shape[2], k.shape[3], q.shape[3]
    q_tile, tile = np.empty((queries, size), k.dtype), np.empty((queries, size), k.dtype)
    k_tile, v_tile = np.empty((columns, size), k.dtype), np.empty((columns, size), k.dtype)
    scale, every = k.dtype.type(1 / math.sqrt(size)), np.arange(queries)
    for place in range(first, last):
        m, h = place // heads, place % heads
        transpose(q[min(m, len(q) - 1), h], q_tile)
        q_tile *= scale
        transpose(k[min(m, len(k) - 1), h], k_tile)
        transpose(v[min(m, len(v) - 1), h], v_tile)
        own = Keys(every, keys, count[min(m, len(count) - 1)])
        _mix(q_tile, k_tile, v_tile, True, sink[min(m, len(sink) - 1), h], own, pattern[m, h], tile)
        transpose(tile, mixed[m, h])


@_jit
def by_mix(by_mixed, q, k, v, keys, count, first, last, pattern, by_q, by_k, by_v):
    """Backward through `mix`: the gradients of all members, [member, head, channel, column]."""
    heads, size, columns, queries = k.shape[1], k.shape[2], k.shape[3], q.shape[3]
    q_tile, tile = np.empty((queries, size), k.dtype), np.empty((queries, size), k.dtype)
    k_tile, v_tile = np.empty((columns, size), k.dtype), np.empty((columns, size), k.dtype)
    q_found, k_found, v_found = np.empty_like(q_tile), np.empty_like(k_tile), np.empty_like(v_tile)
    scale, towards, every = k.dtype.type(1 / math.sqrt(size)), np.empty(len(keys[0]), k.dtype), np.arange(queries)
    for place in range(first, last):
        m, h = place // heads, place % heads
        transpose(q[min(m, len(q) - 1), h], q_tile)
        transpose(k[min(m, len(k) - 1), h], k_tile)
        transpose(v[min(m, len(v) - 1), h], v_tile)
        transpose(by_mixed[m, h], tile)
        q_found[:], k_found[:], v_found[:] = 0, 0, 0
        own = Keys(every, keys, count[min(m, len(count) - 1)])
        _by_mix(tile, q_tile, k_tile, v_tile, pattern[m, h], True, scale, own, towards, q_found, k_found, v_found)
        transpose(q_found, by_q[m, h])
        transpose(k_found, by_k[m, h])
        transpose(v_found, by_v[m, h])


@_jit
def transpose(x, found):
    """Into `found`; fastest where x has more rows than columns."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            found[j, i] = x[i, j]
