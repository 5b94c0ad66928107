"""Neighbouring slices of one scan are no copies, however well they agree.

At a millimetre or two between slices, windows of neighbours agree as well as those of copies, and a whole scan would
be chained into one picture. That two slices lie in one volume or one DICOM series is known, so they are kept apart,
unless their pixels are the same; they stay look-alikes, which keeps them on one side of a split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tumorlens.audit.clusters import Clusters, Union
from tumorlens.data.manifest import Row


def kept_apart(clusters: Clusters, rows: Sequence[Row], same: Sequence[bytes]) -> Clusters:
    """The clusters without those links that put different slices of one scan together, the weakest links first.

    Args:
        clusters: of N slices.
        rows: of the manifest.
        same: N keys, equal where pixels are.
    """
    # Of every set: scan → pixels of its slices there.
    inside: dict[int, dict[str, set[bytes]]] = defaultdict(lambda: defaultdict(set))
    for i, row in enumerate(rows):
        if row.series:
            inside[int(clusters.root[i])][row.series].add(same[i])
    if not any(len(keys) > 1 for scans in inside.values() for keys in scans.values()):
        return clusters
    union, pairs, alike = Union(len(rows)), [], dict(clusters.alike)
    holds = [{row.series: {same[i]}} if row.series else {} for i, row in enumerate(rows)]
    for pair in sorted(clusters.pairs, key=lambda pair: (not pair.exact, -pair.similarity)):
        a, b = union.root(pair.first), union.root(pair.second)
        if a == b:
            continue
        if any(len(holds[a][scan] | holds[b][scan]) > 1 for scan in holds[a].keys() & holds[b].keys()):
            alike[pair.first, pair.second] = pair.similarity
            continue
        union.join(pair.first, pair.second, pair.orientation, pair.similarity)
        root = union.root(a)
        holds[root] = {**holds[a], **holds[b]}  # where both hold a scan, they hold the same of it
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
