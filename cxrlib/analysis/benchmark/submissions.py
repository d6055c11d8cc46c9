"""What others handed in: `results/submissions/<name>/predictions.csv` beside `card.yml`, scored when the book is built.

The first two are the study's own: logistic regressions on thumbnails and on a frozen network's features.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxrlib.analysis.benchmark.score import Score, read_table, score, split_table
from cxrlib.analysis.sentences import count, estimate
from cxrlib.analysis.shortcuts.probes import histograms, linear_model
from cxrlib.data.editions import Edition
from cxrlib.data.samples import Samples
from cxrlib.errors import CxrError, DataError
from cxrlib.evaluation.metrics import summary
from cxrlib.images.decoding import thumbnails
from cxrlib.paths import results_to_read
from cxrlib.records.record import Record


class Card(BaseModel):
    """Who made a submission, with what, under which licence, and for which split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    who: str = Field(min_length=2, description="the authors")
    what: str = Field(min_length=10, description="the model and its training, in a sentence or two")
    licence: str = Field(min_length=2, description="of the predictions")
    url: str | None = Field(None, pattern="^https?://", description="code or article")
    protocol: str = Field("clean", description="as given to `splits`")
    draw_seed: int = Field(0, ge=0, description="as given to `splits`")
    cohort: str = Field("combined", description="as given to `splits`")


def read_card(path: Path) -> Card:
    """The card in a file; DataError says in one sentence what is wrong with it."""
    try:
        return Card.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc'])) or 'the card'}: {first['msg']}.") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path} is not a readable card ({error}).".replace("\n", " ")) from None


def score_submissions(edition: Edition, root: Path | None = None) -> tuple[dict[str, Card], list[Score], list[str]]:
    """Cards by name and scores of every submission for `edition`, and a sentence for each that was set aside."""
    cards: dict[str, Card] = {}
    scored, aside = [], []
    for folder in sorted(path for path in (root or results_to_read("submissions")).glob("*") if path.is_dir()):
        try:
            card = read_card(folder / "card.yml")
            split = split_table(edition, card.protocol, card.draw_seed, card.cohort)
            predictions = read_table(folder / "predictions.csv")
            scored.append(score(folder.name, predictions, split))
            cards[folder.name] = card
        except CxrError as error:
            aside.append(f"submission {folder.name} is set aside: {error}")
    return cards, scored, aside


def answer(scored: Sequence[Score], records: Sequence[Record]) -> str:
    """Two sentences: what the best submission reaches, and how many recorded networks are ahead of it within one source."""
    if not scored:
        return "Nothing has been handed in yet. The walk-through below shows how."
    best = max(scored, key=lambda one: one.metrics["test"]["auroc"])
    test, inside = best.metrics["test"], best.metrics["within_source"]
    first = (
        f"Of {count(len(scored), 'submission')} the best, {best.name}, reaches an AUROC of "
        f"{estimate(test['auroc'], test['auroc_low'], test['auroc_high'])}, and within one source "
        f"{estimate(inside['value'], inside['low'], inside['high'])}."
    )
    if not records or inside["value"] is None:
        return f"{first} No recorded network was tested on the same images."
    ahead = sum((record.metrics["within_source"]["value"] or 0) > inside["value"] for record in records)
    return f"{first} {count(ahead, 'network')} of {len(records)} recorded on the same images {'is' if ahead == 1 else 'are'} ahead of it within one source."


def coarse_features(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Thumbnails of 8 x 8 pixels and a grey-level histogram of 16 bins, [N, 80], of uint8 images [N, S, S].

    No lesion can be seen in them: whatever they tell comes from framing, exposure or build.
    """
    return np.hstack([thumbnails(pixels, 8).reshape(len(pixels), -1), histograms(pixels, 16)])


def probabilities(train: npt.ArrayLike, labels: npt.ArrayLike, part: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Probability of COVID-19 [M] of features `part` [M, F], by a logistic regression on `train` [N, F] and `labels` [N]."""
    return np.asarray(linear_model().fit(train, labels).predict_proba(part)[:, 1])


def thumbnail_baseline(train: Samples, test: Samples) -> dict[str, Any]:
    """What a logistic regression on `coarse_features` reaches on the test part; keys as `metrics.summary`."""
    found = probabilities(coarse_features(train.pixels), train.labels, coarse_features(test.pixels))
    return summary(test.labels, found, groups=test.table["component"].to_numpy())
