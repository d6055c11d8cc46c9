"""How much of the label can be told without looking at the picture: from source, folder, format and size.

A network can read all of these off the pixels (borders, sharpness, compression, markers), so a label that follows
from them alone can be learned without a lung.
"""

import re
from pathlib import PurePath

import numpy as np
import pandas as pd

from cxrlib.data.folds import grouped_folds
from cxrlib.data.readers.own import LABELS, SPLITS

FOLDS = 5
LAYOUT_WORDS = {"non", "images", *(word for known in (LABELS, SPLITS) for names in known.values() for word in names)}
"""Names of folders that state the label or the split and are no property of the picture."""


def attributes(images: pd.DataFrame) -> pd.DataFrame:
    """What each image shows of its origin, without its content: source, folder, format, size and view, as text."""
    file = images["image_id"].map(PurePath)
    size = images["width"].astype("string") + " x " + images["height"].astype("string")
    known = {
        "source": images["source"],
        "folder": file.map(_folder),
        "format": file.map(lambda path: path.suffix.lower()),
        "size": size,
        "view": images["view"],
    }
    return pd.DataFrame({name: values.astype("string").fillna("unknown") for name, values in known.items()})


def association(images: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Balanced accuracy with which each attribute alone tells the label of images it was not fitted on.

    `images`: image table with `component`, `width` and `height`. The rule answers 'positive' where positives are more
    frequent among an attribute's value than overall, both taken from the other folds of a cross-validation whose
    folds share no component; a value not seen there counts as half right. Columns: attribute, values, images, bacc,
    chance (99 % of uninformative attributes stay below). Empty where a class has fewer than two components.
    """
    names = ["attribute", "values", "images", "bacc", "chance"]
    rows = images[images["label"].notna()].reset_index(drop=True)
    y, group = (rows["label"] == "covid").to_numpy(), rows["component"].to_numpy()
    folds = min(FOLDS, len(np.unique(group[y])), len(np.unique(group[~y])))
    if folds < 2:
        return pd.DataFrame(columns=names)
    splits = grouped_folds(y, group, folds, seed)
    chance = 0.5 + 2.326 * 0.25 * float(np.sqrt(1 / y.sum() + 1 / (~y).sum()))
    found = []
    for name, values in attributes(rows).items():
        answer = np.zeros(len(rows))  # 1 positive, -1 negative, 0 undecided
        for fit, held_out in splits:
            excess = pd.Series(y[fit]).groupby(values.to_numpy()[fit]).mean() - y[fit].mean()
            answer[held_out] = np.sign(values.iloc[held_out].map(excess).fillna(0).round(9))
        right = (1 + answer * np.where(y, 1, -1)) / 2
        found.append((name, values.nunique(), len(rows), (right[y].mean() + right[~y].mean()) / 2, chance))
    return pd.DataFrame(found, columns=names)


def _folder(path: PurePath) -> str:
    """Folder of a file inside its collection, without the parts that only state a label or a split."""
    words = [part for part in path.parts[1:-1] if re.sub(r"\s", "", part.lower()) not in LAYOUT_WORDS]
    return "/".join(words)
