"""Related systems: computed on the run's own images, read from records, or named as missing."""

import numpy as np
import pytest
from tests.records.test_record import make_record

from cxrlib.analysis import related
from cxrlib.data.editions import load_edition

SVM = {
    **{name: 0.5 for metric in related.METRICS for name in (metric, f"{metric}_low", f"{metric}_high")},
    "features": "none",
}


@pytest.fixture
def edition(phantom_env):
    return load_edition("phantom")


def test_frozen_features_are_tested_on_the_runs_images(edition):
    found = related.frozen_svm(edition, "quick")
    assert found["features"] == "none" and found["train"]["covid"] > 0
    assert found["bacc_low"] <= found["bacc"] <= found["bacc_high"]
    assert found["tp"] + found["fn"] == found["positives"] > 0
    again = related.frozen_svm(edition, "quick")
    assert again["auroc"] == found["auroc"]


def test_the_segmentation_is_judged_on_other_patients_or_said_to_lack_masks(edition, monkeypatch):
    told = related.segmentation_sentence(edition, "quick")
    assert told.startswith("Trained on") and "of other patients" in told
    monkeypatch.setattr("cxrlib.networks.segmentation.FEWEST", 10**6)
    assert "segmentation network could be trained here: only" in related.segmentation_sentence(edition, "quick")


def test_a_recorded_network_is_shown_and_a_missing_one_named_with_its_command(edition):
    kind = {"cohort": "combined", "pretraining": "imagenet", "beta": None, "protocol": "clean"}
    records = [make_record(model="resnet50", **kind), make_record(model="resnet50", **kind, loss="focal")]
    table = related.related_table(SVM, records, edition, "quick").set_index("system")
    row = table.loc["ResNet-50, fine-tuned, for comparison"]
    assert row["source"] == records[0].key and row["bacc"] == records[0].metrics["test"]["bacc"]
    missing = table.loc["Apostolopoulos et al. [11]"]
    assert (
        np.isnan(missing["bacc"])
        and "-p model vgg19" in missing["source"]
        and missing["source"].startswith("no record")
    )
    assert table.loc["Sethy and Behera [8]", "auroc"] == 0.5
