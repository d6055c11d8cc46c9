"""Components: every link counts, none is invented, and a repeated picture is found under another name."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxrlib.analysis.datasets import distance_distribution
from cxrlib.data.editions import LINKS, link, load_edition
from cxrlib.images import hashing
from cxrlib.images.decoding import read_raw
from cxrlib.images.hashing import BITS, near_pairs, pack, perceptual_hashes

ROWS = st.lists(st.tuples(*[st.sampled_from([None, "a", "b", "c", "d"])] * 3), min_size=1, max_size=25)


def links_table(rows: list[tuple[str | None, ...]]) -> pd.DataFrame:
    """Generated images (they are never hashed) with the given patient, duplicate group and file hash."""
    frame = pd.DataFrame(rows, columns=list(LINKS), dtype=object)
    return frame.assign(image_id=[f"i{k:03}" for k in range(len(rows))], path="phantom:1")


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_components_equal_those_of_the_graph_of_links(rows):
    table = links_table(rows)
    graph = nx.Graph()
    graph.add_nodes_from(table.index)
    for name in LINKS:
        for _, members in table.groupby(name):
            nx.add_path(graph, members.index)
    ours = table.groupby(link(table)["component"]).groups.values()
    assert {frozenset(members) for members in ours} == {frozenset(part) for part in nx.connected_components(graph)}


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_numbers_do_not_depend_on_the_order_of_the_rows(rows, random):
    table = links_table(rows)
    order = list(table.index)
    random.shuffle(order)
    pd.testing.assert_frame_equal(link(table.loc[order]).sort_index(), link(table))


def test_rows_without_any_link_stand_alone_and_patients_do_not_make_repeats():
    table = links_table([(None, None, None), (None, None, None), ("p", None, "x"), ("p", None, "y"), ("q", None, "y")])
    assert link(table)["component"].tolist() == [0, 1, 2, 2, 2]
    assert link(table)["repeat"].tolist() == [0, 1, 2, 3, 3]


@pytest.fixture
def radiographs(tmp_path, monkeypatch) -> pd.DataFrame:
    """Eight smooth random pictures, then number 0 as a small JPEG and number 1 brighter, then a broken file."""
    monkeypatch.setenv("CXR_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    smooth = [gaussian_filter(rng.normal(size=(120, 120)), 5) for _ in range(8)]
    grey = [np.uint8(np.interp(field, (field.min(), field.max()), (0, 200))) for field in smooth]
    paths = [tmp_path / f"{k}.png" for k in range(8)] + [
        tmp_path / "8.jpg",
        tmp_path / "9.png",
        tmp_path / "broken.png",
    ]
    for path, pixels in zip(paths, grey, strict=False):
        Image.fromarray(pixels).save(path)
    Image.fromarray(grey[0]).resize((90, 90)).save(paths[8], quality=80)
    Image.fromarray(grey[1] + np.uint8(40)).save(paths[9])
    paths[10].write_bytes(b"no image")
    table = pd.DataFrame({"image_id": [path.name for path in paths], "path": [str(path) for path in paths]})
    return table.assign(**{name: None for name in LINKS})


def test_a_picture_is_recognised_in_another_size_format_and_brightness(radiographs):
    component = link(radiographs).set_index("image_id")["component"]
    assert component["8.jpg"] == component["0.png"]
    assert component["9.png"] == component["1.png"]
    assert component.nunique() == 9
    assert link(radiographs.assign(path="phantom:0"))["component"].nunique() == 11  # generated images have no hash


def test_hashes_are_computed_once_and_a_changed_file_again(radiographs, monkeypatch):
    first = perceptual_hashes(radiographs)
    assert list(first["image_id"]) == list(radiographs["image_id"][:10])  # the broken file has none
    read: list[str] = []
    monkeypatch.setattr(hashing, "read_raw", lambda path: read.append(path) or read_raw(path))
    pd.testing.assert_frame_equal(perceptual_hashes(radiographs), first)
    assert read == []
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(radiographs["path"][3])
    assert not perceptual_hashes(radiographs)["hash"].equals(first["hash"])
    assert read == [radiographs["path"][3]]


def test_near_pairs_are_those_of_a_direct_count(monkeypatch):
    monkeypatch.setattr(hashing, "_BLOCK", 7)  # several blocks
    hashes = np.random.default_rng(1).integers(0, 256, (40, BITS // 8), dtype=np.uint8)
    hashes[30] = hashes[2] ^ np.uint8(1)  # 32 bits away
    bits = np.unpackbits(hashes, axis=1)
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    for threshold in (31, 32, 120):
        expected = {(i, j) for i, j in np.argwhere(distance <= threshold).tolist() if i < j}
        assert set(map(tuple, near_pairs(hashes, threshold).tolist())) == expected
    assert (2, 30) in set(map(tuple, near_pairs(hashes).tolist()))


def test_distribution_counts_every_pair_once_and_under_its_kind(radiographs):
    radiographs.loc[[0, 8], "duplicate_group"] = "d"
    radiographs.loc[[0, 2, 8], "patient_id"] = "p"
    table = distance_distribution(radiographs)
    pairs = table.groupby("kind")["pairs"].sum()
    assert pairs.to_dict() == {"linked by the publisher": 1, "same patient": 2, "unlinked": 10 * 9 // 2 - 3}
    hashes = perceptual_hashes(radiographs).set_index("image_id")["hash"]
    bits = np.unpackbits(pack(hashes[["0.png", "8.jpg"]]), axis=1)
    linked = table[(table["kind"] == "linked by the publisher") & (table["pairs"] == 1)]
    assert linked["distance"].tolist() == [(bits[0] != bits[1]).sum()]


@pytest.mark.real_data
def test_the_threshold_lies_in_the_gap_of_the_open_collection(real_data):
    edition = load_edition("open")
    table = distance_distribution(edition.images).set_index(["kind", "distance"])["pairs"]
    linked, unlinked = table["linked by the publisher"], table["unlinked"]
    assert linked[:32].sum() > 150
    assert unlinked[:32].sum() < 10  # none of these merges unlike pictures by the thousand
    assert unlinked[33:64].sum() > 1000
    unhashed = link(edition.images.drop(columns="phash").assign(path="phantom:0"))
    assert edition.images["component"].nunique() > unhashed["component"].nunique() - 10
