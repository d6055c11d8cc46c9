"""The one table that every reader yields: a row an image, stated once as a pandera schema."""

import pandas as pd
import pandera.pandas as pa

from cxrlib.errors import DataError

LABELS = ("covid", "non_covid")

IMAGE_TABLE = pa.DataFrameSchema(
    {
        "image_id": pa.Column(str, unique=True, description="'<collection>/<path inside it>', stable across machines"),
        "path": pa.Column(str, description="file to decode (absolute), or 'phantom:<number>' for a generated image"),
        "sha256": pa.Column(str, nullable=True, description="digest of the file, or of the generator's parameters"),
        "collection": pa.Column(str, description="name of the reader that yielded the row"),
        "source": pa.Column(str, description="the collection's own sub-source, e.g. 'hannover'"),
        "label": pa.Column(str, pa.Check.isin(LABELS), nullable=True, description="'covid', 'non_covid' or null"),
        "finding": pa.Column(str, nullable=True, description="the publisher's finding, as printed"),
        "healthy": pa.Column("boolean", nullable=True, description="no finding reported (null: not known)"),
        "patient_id": pa.Column(str, nullable=True, description="'<source>:<id>'; null where not published"),
        "view": pa.Column(str, nullable=True, description="'PA', 'AP', 'AP Supine', 'L', ... or null"),
        "modality": pa.Column(str, pa.Check.isin(("X-ray", "CT", "unknown"))),
        "population": pa.Column(str, pa.Check.isin(("adult", "paediatric", "unknown"))),
        "licence": pa.Column(str, description="licence of this image, as its publisher states it"),
        "width": pa.Column("Int64", nullable=True, description="pixels as published"),
        "height": pa.Column("Int64", nullable=True, description="pixels as published"),
        "duplicate_group": pa.Column(str, nullable=True, description="shared by near-duplicate images"),
        "split": pa.Column(str, pa.Check.isin(("train", "test")), nullable=True, description="as published"),
    },
    strict=False,  # a reader may add columns of its own, e.g. 'in_july2020_metadata'
    coerce=True,
    ordered=False,
)

EXCLUSIONS = ("image_id", "collection", "reason")
"""Columns of a table of what is left out; a reason is a short noun phrase, such as 'CT slice'."""


def validate_images(images: pd.DataFrame) -> pd.DataFrame:
    """`images` checked against `IMAGE_TABLE`; raises DataError naming the first wrong column and row."""
    try:
        return IMAGE_TABLE.validate(images.reset_index(drop=True))
    except (pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
        raise DataError(f"the image table is not valid: {error}".replace("\n", " ")[:600]) from error
