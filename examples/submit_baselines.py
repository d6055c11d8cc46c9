"""The two submissions that ship with the study: logistic regressions on thumbnails and on a frozen network's features.

`CXR_DATA` and `CXR_WEIGHTS` must be set; predictions go to `results/submissions/<name>/predictions.csv`.
"""

from cxrlib.analysis.benchmark.score import split_table
from cxrlib.analysis.benchmark.submissions import coarse_features, probabilities
from cxrlib.analysis.shortcuts.probes import frozen_network, network_features
from cxrlib.data.editions import load_edition
from cxrlib.images.store import open_store
from cxrlib.paths import results_root

edition = load_edition("open")
split = split_table(edition, protocol="clean", draw_seed=0)
train, judged = split[split["split"] == "train"], split[split["split"] != "train"]
network = frozen_network(224)
for name, size, features in (
    ("thumbnails-8x8", 64, coarse_features),
    ("squeezenet-frozen-224", 224, lambda pixels: network_features(network, pixels)),
):
    store = open_store(edition.images, size)
    x_train, x_judged = (features(store.take(rows["image_id"])) for rows in (train, judged))
    folder = results_root() / "submissions" / name
    folder.mkdir(parents=True, exist_ok=True)
    table = judged[["image_id"]].assign(probability=probabilities(x_train, train["label"], x_judged))
    table.to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
