"""Editions: what they join, what narrows them, and a digest that follows the content alone."""

import pandas as pd
import pytest

from cxrlib.data import editions
from cxrlib.data.editions import Edition, images_digest, load_edition, match_licences
from cxrlib.data.readers.base import EXCLUSIONS, IMAGE_TABLE
from cxrlib.data.selection import run_samples
from cxrlib.errors import DataError, ParameterError
from cxrlib.images.hashing import perceptual_hashes
from tests.builders import make_config

OPEN_DIGEST = "548192d2beda17ab17e3f252e24e1bc3b1bac69c0d94037356b737c73f69b7c4"

LICENCES = ["CC BY 4.0", "CC BY-NC-SA", "research purposes only", "CC BY 3.0"]


def table(collection: str = "cxr-open", n: int = 8) -> pd.DataFrame:
    """A valid image table without files: labels alternate, licences go round."""
    return IMAGE_TABLE.validate(
        pd.DataFrame(
            {
                "image_id": [f"{collection}/{k}.png" for k in range(n)],
                "path": [f"phantom:{collection}{k}" for k in range(n)],
                "sha256": [f"{k:064x}" for k in range(n)],
                "collection": collection,
                "source": "site",
                "label": ["covid", "non_covid"] * (n // 2),
                "finding": "stated",
                "healthy": [False, True] * (n // 2),
                "patient_id": [f"{collection}:{k // 2}" for k in range(n)],
                "view": "PA",
                "modality": "X-ray",
                "population": "adult",
                "licence": [LICENCES[k % 4] for k in range(n)],
                "width": 256,
                "height": 256,
                "duplicate_group": None,
                "split": None,
            }
        )
    )


class Published:
    """What a reader yields, without the reader."""

    title, version = "A collection", "third release"

    def __init__(self, images: pd.DataFrame) -> None:
        self.images = images
        self.excluded = pd.DataFrame([("x", "c", "CT volume")], columns=[*EXCLUSIONS])


@pytest.fixture
def collections(monkeypatch: pytest.MonkeyPatch, tmp_path) -> dict[str, pd.DataFrame]:
    """Collections by name that the edition reads instead of files; those present are located."""
    present: dict[str, pd.DataFrame] = {}
    editions._load.cache_clear()
    monkeypatch.setattr(editions, "read_collection", lambda name: Published(present[name]))
    monkeypatch.setattr(editions, "locate", lambda name: tmp_path if name in present else None)
    yield present
    editions._load.cache_clear()


def test_the_first_complete_edition_is_found(collections):
    assert editions.find_edition() == "phantom"
    collections["cxr-open"] = table()
    assert editions.find_edition() == "open"
    collections["covidx_ray_5k"] = table("covidx_ray_5k")
    collections["covid-chestxray-dataset"] = table("covid-chestxray-dataset")
    assert editions.find_edition() == "open"  # CheXpert is still missing
    collections["CheXpert"] = table("CheXpert")
    assert editions.find_edition() == "original"


def test_digest_follows_content_and_not_place_or_order():
    images = table()
    same = images.assign(path="/elsewhere/" + images["path"]).sample(frac=1, random_state=0)
    assert images_digest(same) == images_digest(images)
    for column, value in {"label": "non_covid", "sha256": "f" * 64, "patient_id": "someone", "licence": "CC0"}.items():
        changed = images.copy()
        changed.loc[0, column] = value
        assert images_digest(changed) != images_digest(images), column
    assert images_digest(images.iloc[1:]) != images_digest(images)


def test_a_file_without_published_hash_counts_by_its_size(tmp_path):
    images = table(n=2)
    path = tmp_path / "0.png"
    path.write_bytes(b"1234")
    images.loc[0, ["path", "sha256"]] = [str(path), None]
    before = images_digest(images)
    path.write_bytes(b"12345")
    assert images_digest(images) != before


def test_licences_narrow_the_edition_and_what_goes_is_listed(collections):
    collections["cxr-open"] = table()
    whole, narrow = load_edition("open"), load_edition("open", "cc by, RESEARCH purposes")
    assert set(narrow.images["licence"]) == {"CC BY 4.0", "CC BY 3.0", "research purposes only"}
    gone = narrow.excluded[narrow.excluded["reason"].str.startswith("licence not accepted")]
    assert sorted([*narrow.images["image_id"], *gone["image_id"]]) == sorted(whole.images["image_id"])
    assert set(gone["reason"]) == {"licence not accepted: CC BY-NC-SA"}
    assert narrow.digest != whole.digest
    assert "CT volume" in set(narrow.excluded["reason"])
    assert "A collection: third release" in narrow.banner() and "licences accepted: cc by" in narrow.banner()


@pytest.mark.parametrize("licences", ["GPL", "CC BY, GPL", "", "CC B"])
def test_a_licence_part_that_matches_nothing_stops_and_lists_what_is_present(licences):
    with pytest.raises(ParameterError, match=r"present are: .*CC BY-NC-SA"):
        match_licences(pd.Series(LICENCES), licences)


def test_unknown_edition_stops():
    with pytest.raises(ParameterError, match="auto, original, open, phantom"):
        load_edition("closed")


def test_banner_counts_labels_and_says_when_images_are_synthetic(collections):
    images = table()
    images.loc[0, "label"] = None
    nothing = pd.DataFrame({"image_id": [], "collection": [], "reason": []})
    opened, synthetic = (Edition(name, images, nothing, "0123456789abcdef") for name in ("open", "phantom"))
    assert "8 images: 3 COVID-19, 4 non-COVID, 1 without a label" in opened.banner()
    assert "`0123456789ab`" in opened.banner() and opened.short == "open 0123456789ab"
    assert "synthetic" in synthetic.banner() and "synthetic" not in opened.banner()
    assert "\n" not in opened.banner()


def test_of_chexpert_only_a_seeded_pool_stays_and_the_rest_is_listed(collections, monkeypatch):
    monkeypatch.setattr(editions, "CHEXPERT_POOL", 10)
    chexpert = table("CheXpert", 200)
    chexpert.loc[:19, "view"] = "L"
    used = table("covidx_ray_5k", 8)
    used["patient_id"] = chexpert["patient_id"].iloc[20:28].to_numpy()
    collections.update(
        {"covidx_ray_5k": used, "covid-chestxray-dataset": table("covid-chestxray-dataset"), "CheXpert": chexpert}
    )
    edition = load_edition("original")
    pool = edition.images[edition.images["collection"] == "CheXpert"]
    assert pool["healthy"].value_counts().to_dict() == {True: 10, False: 10}
    assert pool["patient_id"].is_unique and not set(pool["patient_id"]) & set(used["patient_id"])
    assert set(pool["view"]) == {"PA"}
    assert (edition.excluded["collection"] == "CheXpert").sum() == 180
    editions._load.cache_clear()
    assert load_edition("original").digest == edition.digest


def test_the_open_edition_is_read_without_its_images(phantom_env, monkeypatch):
    monkeypatch.setattr("cxrlib.images.hashing._known", lambda *_: pytest.fail("a file was hashed"))
    edition = load_edition("open")
    assert not edition.has_images and edition.images["phash"].notna().all()
    assert edition.digest == OPEN_DIGEST
    assert edition.images["component"].nunique() > edition.images["patient_id"].nunique()
    assert load_edition().name == "phantom", "auto asks for images"
    with pytest.raises(DataError, match="fetch it with `make data`"):
        run_samples(make_config(edition="open"), edition)


@pytest.mark.real_data
def test_with_and_without_images_the_open_edition_is_the_same(real_data, tmp_path, monkeypatch):
    there = load_edition("open")
    if "packaged" not in there.banner():
        pytest.skip("the images are the originals: another digest")
    monkeypatch.setenv("CXR_DATA", str(tmp_path))
    listed = load_edition("open")
    assert (there.has_images, listed.has_images) == (True, False)
    assert there.digest == listed.digest == OPEN_DIGEST
    pd.testing.assert_frame_equal(there.images.drop(columns="path"), listed.images.drop(columns="path"))
    pd.testing.assert_frame_equal(there.excluded, listed.excluded)


@pytest.mark.real_data
def test_stored_hashes_are_those_of_the_files(real_data):
    images = load_edition("open").images
    some = images.sample(60, random_state=0)
    computed = perceptual_hashes(some.drop(columns="phash")).set_index("image_id")["hash"]
    if "packaged" not in load_edition("open").banner():
        pytest.skip("the images are the originals")
    assert computed.map(bytes.hex).to_dict() == some.set_index("image_id")["phash"].to_dict()


@pytest.mark.real_data
def test_the_open_edition_holds_every_image_of_its_manifest(real_data):
    edition = load_edition("open")
    listed = len(pd.read_csv(real_data / "cxr-open" / "manifest.csv", usecols=["path"]))
    assert len(edition.images) <= listed <= len(edition.images) + edition.excluded["image_id"].nunique()
    assert edition.images["covidx_candidate"].sum() == 218
    assert "packaged" in edition.banner() or "as fetched" in edition.banner()
