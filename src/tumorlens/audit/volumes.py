"""Neighbouring slices of one volume are no copies, however well they agree.

At a millimetre or two between slices, windows of neighbours agree as well as those of copies, and a whole volume would
be chained into one picture. That two slices lie in one file is known, so they are kept apart, unless their pixels are
the same; they stay look-alikes, which keeps them on one side of a split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tumorlens.audit.clusters import Clusters, Union
from tumorlens.data.manifest import Row


def kept_apart(clusters: Clusters, rows: Sequence[Row], same: Sequence[bytes]) -> Clusters:
    """The clusters without those links that put different slices of one file together, the weakest links first.

    Args:
        clusters: of N slices.
        rows: of the manifest.
        same: N keys, equal where pixels are.
    """
    # Of every set: file → pixels of its slices there.
    inside: dict[int, dict[str, set[bytes]]] = defaultdict(lambda: defaultdict(set))
    for i, row in enumerate(rows):
        if row.frame is not None:
            inside[int(clusters.root[i])][row.path].add(same[i])
    if not any(len(keys) > 1 for files in inside.values() for keys in files.values()):
        return clusters
    union, pairs, alike = Union(len(rows)), [], dict(clusters.alike)
    holds = [{row.path: {same[i]}} if row.frame is not None else {} for i, row in enumerate(rows)]
    for pair in sorted(clusters.pairs, key=lambda pair: (not pair.exact, -pair.similarity)):
        a, b = union.root(pair.first), union.root(pair.second)
        if a == b:
            continue
        if any(len(holds[a][path] | holds[b][path]) > 1 for path in holds[a].keys() & holds[b].keys()):
            alike[pair.first, pair.second] = pair.similarity
            continue
        union.join(pair.first, pair.second, pair.orientation, pair.similarity)
        root = union.root(a)
        holds[root] = {**holds[a], **holds[b]}  # where both hold a file, they hold the same of it
        pairs.append(pair)
    links = [union.link(i) for i in range(len(rows))]
    return replace(
        clusters,
        pairs=tuple(pairs),
        root=np.array([root for root, _, _ in links], np.int64),
        turn=np.array([turn for _, turn, _ in links], np.int8),
        agreement=np.array([agreement for _, _, agreement in links], np.float32),
        alike=alike,
    )
