"""What is wrong with a collection before anything is trained on it: all `verdicts`, with the images behind each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.data.division import published_split
from cxrlib.data.editions import link
from cxrlib.data.readers.base import Collection
from cxrlib.data.verdicts import CHECKS, ERROR, OK, WARNING, Facts, Verdict
from cxrlib.images.hashing import SIDE, transformed_pairs
from cxrlib.images.store import open_store


@dataclass(frozen=True)
class CheckReport:
    """Verdicts over one collection, in the order of `verdicts.CHECKS`."""

    collection: Collection
    verdicts: tuple[Verdict, ...]

    @property
    def worst(self) -> str:
        """The worst verdict: error, warning or OK."""
        return max((v.verdict for v in self.verdicts), key=(OK, WARNING, ERROR).index)

    @property
    def by_name(self) -> Mapping[str, Verdict]:
        """The verdicts by the name of their check."""
        return {v.check: v for v in self.verdicts}

    @property
    def left_out(self) -> dict[str, int]:
        """How many rows and files the reader left out, by reason: findings, or rules of the collection."""
        return {str(reason): int(n) for reason, n in self.collection.excluded["reason"].value_counts().items()}

    @property
    def labels(self) -> pd.DataFrame:
        """How each value of the label was read, in a table of one's own: value, label ('none' for unknown), rows."""
        known = self.collection.labels
        return pd.DataFrame(columns=["value", "label", "rows"]) if known is None else known.fillna({"label": "none"})

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a check: check, verdict, images, what to do."""
        rows = [(v.check, v.verdict, v.count, v.sentence) for v in self.verdicts]
        return pd.DataFrame(rows, columns=["check", "verdict", "images", "what to do"])

    def to_text(self, most: int = 5) -> str:
        """The table for a terminal, with the first `most` images behind each finding."""
        lines = [f"{self.collection.title}: {len(self.collection.images)} images"]
        lines += [f"   label {row.value!r} read as {row.label}: {row.rows} rows" for row in self.labels.itertuples()]
        lines += [f"   left out by the reader: {n}, {reason}" for reason, n in self.left_out.items()]
        for v in self.verdicts:
            lines.append(f"{v.verdict:>7}  {v.check}: {v.sentence}")
            if v.verdict != OK and "image_id" in v.rows:
                lines += [f"{'':9}- {name}" for name in v.rows["image_id"].head(most)]
                if len(v.rows) > most:
                    lines.append(f"{'':9}- and {len(v.rows) - most} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with every image behind each finding."""
        return {
            "collection": self.collection.name,
            "images": len(self.collection.images),
            "labels": self.labels.to_dict("records"),
            "left_out": self.left_out,
            "clean": self.worst == OK,
            "checks": [
                {"check": v.check, "verdict": v.verdict, "images": v.count, "what_to_do": v.sentence}
                | {"rows": v.rows.astype(object).where(v.rows.notna(), None).to_dict("records")}
                for v in self.verdicts
            ],
        }


def check(collection: Collection) -> CheckReport:
    """The report on a collection; decodes every image once, at 64 pixels a side, into the image cache.

    Raises DataError if no image at all can be decoded.
    """
    facts = gather(collection)
    return CheckReport(collection, tuple(one(facts) for one in CHECKS))


def gather(collection: Collection) -> Facts:
    """What the checks look at: the readable images with file digests, sizes and links; and the quarantine."""
    store = open_store(collection.images, SIDE)
    decoded = store.table.set_index("image_id")
    images = collection.images
    images = images[images["image_id"].isin(decoded.index)].reset_index(drop=True)
    for name in ("sha256", "width", "height"):
        images[name] = images[name].fillna(images["image_id"].map(decoded[name]))
    pairs = transformed_pairs(np.asarray(store.pixels))
    pairs = pairs.assign(**{end: decoded.index[pairs[end]] for end in ("first", "second")})
    return Facts(collection, link(images.assign(part=published_split(images)), pairs), store.quarantined, pairs)
