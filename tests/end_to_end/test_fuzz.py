"""A corpus of bad and odd inputs, generated here: none may end in a traceback, lose a row silently, or delete what is not ours.

Every case calls what a user calls, in this process. What comes back is either a result in which every input is accounted
for, or one sentence of a `CxrError`.
"""

import io
import itertools
import json
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrlib.analysis.audit.table import read_table as read_printed
from cxrlib.analysis.benchmark.score import read_split, read_table, score
from cxrlib.analysis.benchmark.submissions import read_card
from cxrlib.analysis.new_data.run import MARKER, new_config, output_folder
from cxrlib.cli.own import read_parameters
from cxrlib.config import RunConfig
from cxrlib.data.readers import own
from cxrlib.errors import CxrError
from cxrlib.images.store import open_store
from cxrlib.records.evaluate import evaluate
from cxrlib.records.provenance import machine, training_code, versions
from cxrlib.records.record import Record, load_record, save_record
from cxrlib.storage import digest

Case = Callable[[Path], object]

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)


def png(pixels: np.ndarray = PIXELS, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **({"format": "PNG"} | options))  # type: ignore[arg-type]
    return buffer.getvalue()


def written(name: str, content: bytes, read: Callable[[Path], object]) -> Case:
    """Write one file and read it."""

    def case(folder: Path) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return case


def write_folder(folder: Path, table: bytes, files: dict[str, bytes], name: str = "images.csv") -> Path:
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    (folder / name).write_bytes(table)
    return folder


# --- tables of one's own -------------------------------------------------------------------------------------------

LABELS = [
    "covid", "COVID", "Covid-19", "positive", "1", "1.0", "TRUE", "yes", " covid ", "", "nan", "NaN", "unknown", "n/a", "none",
    "2", "-1", "maybe", "kovid", "0;1", "covid,non_covid", "é", "陽性", "\u200bcovid", "=1+1", "covid\t", "'covid'", "null", "?",
    "covid\\n", "1e0", "True ", "POS", "neg", "no finding", "0.0", "false", "normal", "NORMAL", "Pneumonia",
]  # fmt: skip
PATIENTS = ["7001", "7001.0", "P1", "", "nan", "unknown", "\u00e9", "a b", "-", "0", "1e3", "P1;P2", '"p"', "p\tq"]
FILES = [
    "images/0.png", "./images/0.png", "images\\0.png", "0.png", "/etc/passwd", "../0.png", "", " ", "images", "images/", ".", "..",
    "no.png", "images/0.PNG", "images//0.png", "images/0.png\u0000", "C:\\0.png", "~/0.png", "images/../images/0.png", "x" * 300,
    "file:///images/0.png", "images/*.png", "'images/0.png'", "é.png",
]  # fmt: skip
TABLES: dict[str, bytes] = {
    "empty": b"", "blank lines": b"\n\n\n", "header only": b"file,label\n", "no label": b"file,patient\nimages/0.png,1\n",
    "no file": b"label,patient\ncovid,1\n", "two labels": b"file,label,class\nimages/0.png,covid,covid\n",
    "semicolons": b"file;label\nimages/0.png;covid\nimages/1.png;non_covid\n",
    "tabs": b"file\tlabel\nimages/0.png\tcovid\nimages/1.png\tnon_covid\n", "binary": bytes(range(256)) * 4,
    "bom": "\ufefffile,label\nimages/0.png,covid\n".encode(), "utf-16": "file,label\nimages/0.png,covid\n".encode("utf-16"),
    "latin-1": "file,label,finding\nimages/0.png,covid,Lungenentz\u00fcndung\n".encode("latin-1"),
    "crlf": b"file,label\r\nimages/0.png,covid\r\n", "cr": b"file,label\rimages/0.png,covid\r",
    "too many values": b"file,label\nimages/0.png,covid,1,2,3\n", "too few values": b"file,label,patient\nimages/0.png\n",
    "open quote": b'file,label\n"images/0.png,covid\n', "nul": b"file,label\nimages/0.png\x00,covid\n",
    "repeated": b"file,label\nimages/0.png,covid\nimages/0.png,covid\n",
    "contradicted": b"file,label\nimages/0.png,covid\nimages/0.png,non_covid\n",
    "unknown split": b"file,label,split\nimages/0.png,covid,fold1\n", "html": b"<html><body>404</body></html>",
    "json": b'[{"file": "images/0.png"}]', "zip": b"PK\x03\x04" + bytes(60), "one long line": b"file,label," + b"x" * 100_000,
    "quoted header": b'"file","label"\n"images/0.png","covid"\n', "headers in capitals": b"FILE,Label\nimages/0.png,covid\n",
    "index column": b",file,label\n0,images/0.png,covid\n", "comment": b"# mine\nfile,label\nimages/0.png,covid\n",
    "ages": b"file,label,age\nimages/0.png,covid,old\nimages/1.png,non_covid,-5\n",
}  # fmt: skip


def read_own(folder: Path, rows: int | None = None) -> None:
    """Read a folder; every row of the table is an image or is left out with a reason."""
    collection = own.read(folder)
    if rows is not None:
        named = ~collection.excluded["reason"].isin(["file that the table does not name", "not an image file"])
        assert len(collection.images) + int(named.sum()) == rows, "a row went missing"


def table_cases() -> Iterator[tuple[str, Case]]:
    def of(table: bytes, rows: int | None) -> Case:
        files = {"images/0.png": png(), "images/1.png": png(PIXELS[::-1])}
        return lambda folder: read_own(write_folder(folder, table, files), rows)

    def quoted(value: str) -> str:
        return '"' + value.replace('"', '""') + '"'

    for label in LABELS:
        yield f"label {label!r}", of(f"file,label\nimages/0.png,{quoted(label)}\nimages/1.png,normal\n".encode(), 2)
    for patient in PATIENTS:
        text = f"file,label,patient\nimages/0.png,covid,{quoted(patient)}\nimages/1.png,normal,p2\n"
        yield f"patient {patient!r}", of(text.encode(), 2)
    for file in FILES:
        yield f"file {file!r}", of(f"file,label\n{quoted(file)},covid\nimages/1.png,normal\n".encode(), 2)
    for name, table in TABLES.items():
        yield f"table {name}", of(table, None)


# --- image files ---------------------------------------------------------------------------------------------------


def _bomb() -> bytes:
    """A PNG of 40,000 x 40,000 pixels in a few bytes."""
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b""))
    parts = (struct.pack(">I", len(x)) + kind + x + struct.pack(">I", zlib.crc32(kind + x)) for kind, x in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def image_files() -> dict[str, bytes]:
    whole, jpeg = png(), png(format="JPEG")
    deep = np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40
    found = {
        "good": whole, "jpeg": jpeg, "webp named png": png(format="WEBP"), "bmp": png(format="BMP"), "gif": png(format="GIF"),
        "tiff": png(format="TIFF"), "16 bit": png(deep), "float": png(deep.astype(np.float32), format="TIFF"),
        "colour": png(np.stack([PIXELS] * 3, -1)), "alpha": png(np.stack([PIXELS] * 4, -1)), "one pixel": png(PIXELS[:1, :1]),
        "one row": png(PIXELS[:1]), "constant": png(np.zeros((40, 40), np.uint8)), "bomb": _bomb(), "empty": b"", "text": b"hello",
        "html": b"<html>", "nan": png(np.full((40, 40), np.nan, np.float32), format="TIFF"), "dicom prefix": bytes(128) + b"DICM",
        "animation": png(format="GIF", save_all=True, append_images=[Image.fromarray(PIXELS.T)]),
    }  # fmt: skip
    for share in (0.01, 0.3, 0.7, 0.99):
        found[f"png cut at {share}"] = whole[: int(share * len(whole))]
        found[f"jpeg cut at {share}"] = jpeg[: int(share * len(jpeg))]
    rng = np.random.default_rng(1)
    for number in range(8):
        broken = bytearray(whole if number % 2 else jpeg)
        for place in rng.integers(8, len(broken), 6):
            broken[place] ^= int(rng.integers(1, 255))
        found[f"garbled {number}"] = bytes(broken)
    return found


def image_cases() -> Iterator[tuple[str, Case]]:
    def of(name: str, content: bytes) -> Case:
        def case(folder: Path) -> None:
            files = {"images/0.png": content, "images/1.png": png()}
            images = own.read(
                write_folder(folder, b"file,label\nimages/0.png,covid\nimages/1.png,normal\n", files)
            ).images
            store = open_store(images, 32)
            assert len(store.table) + len(store.quarantined) == 2, "an image went missing"
            assert store.quarantined["reason"].str.len().ge(3).all()

        return case

    for name, content in image_files().items():
        yield f"image {name}", of(name, content)


# --- predictions, splits, cards, printed tables ----------------------------------------------------------------------

SPLIT = pd.DataFrame(
    {
        "split": ["train"] * 4 + ["valid"] * 4 + ["test"] * 12, "image_id": [f"i{n}" for n in range(20)], "label": [0, 1] * 10,
        "source": ["a", "a", "b", "b"] * 5, "component": range(20), "overlap": False,
    }
)  # fmt: skip
GOOD = SPLIT[["image_id"]].assign(probability=np.linspace(0.05, 0.95, 20))


def prediction_cases() -> Iterator[tuple[str, Case]]:
    def judged(text: str | bytes) -> Case:
        def case(folder: Path) -> None:
            (folder / "p.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
            SPLIT.to_csv(folder / "split.csv", index=False)
            found = score("p", read_table(folder / "p.csv"), read_split(folder / "split.csv"))
            assert len(found.predictions) == 16, "an image went missing"

        return case

    def split(table: pd.DataFrame) -> Case:
        def case(folder: Path) -> None:
            table.to_csv(folder / "split.csv", index=False)
            read_split(folder / "split.csv")

        return case

    text = GOOD.to_csv(index=False)
    for value in [
        "nan",
        "",
        "inf",
        "-inf",
        "1.5",
        "-0.1",
        "high",
        "0,5",
        "1e400",
        "True",
        "None",
        "0x1",
        "½",
        "-0.0",
        "1",
    ]:
        yield f"probability {value}", judged(text.replace("0.95", f'"{value}"'))
    for name, table in {
        "missing": GOOD.iloc[:-1], "doubled": pd.concat([GOOD, GOOD.tail(1)]), "unknown": GOOD.replace("i19", "j19"),
        "case": GOOD.replace("i19", "I19"), "blank": GOOD.replace("i19", " i19"), "no id": GOOD.replace("i19", ""),
        "no column": GOOD.rename(columns={"probability": "score"}), "only test": GOOD.tail(12), "empty": GOOD.iloc[:0],
        "shuffled": GOOD.sample(frac=1, random_state=0), "logit of another": GOOD.assign(logit=3.0),
        "infinite logit": GOOD.assign(logit=np.inf), "text logit": GOOD.assign(logit="x"), "extra": GOOD.assign(note="x"),
        "split twice": GOOD.assign(split="test"), "constant": GOOD.assign(probability=0.5),
    }.items():  # fmt: skip
        yield f"predictions {name}", judged(table.to_csv(index=False))
    for name, content in TABLES.items():
        yield f"predictions {name}", judged(content)
    for column, value in itertools.product(
        ("split", "label", "component", "overlap", "image_id"), ("", "x", "-1", "2.5")
    ):
        changed = {column: [value, *SPLIT[column].astype(str)[1:]]}
        yield f"split {column} {value!r}", split(SPLIT.astype(str).assign(**changed))
    for column in SPLIT:
        yield f"split without {column}", split(SPLIT.drop(columns=column))
    for name, card in {
        "empty": "", "list": "- 1", "open": "who: [", "short": "who: a", "tab": "who:\tus", "extra": "who: us\nwhat: a network of mine\nlicence: CC0\nx: 1",
        "number": "who: 1\nwhat: 2\nlicence: 3", "object": "!!python/object/apply:os.system [ls]", "url": "who: us\nwhat: a network of mine\nlicence: CC0\nurl: ftp",
        "seed": "who: us\nwhat: a network of mine\nlicence: CC0\ndraw_seed: -1", "good": "who: us\nwhat: a network of mine\nlicence: CC0",
    }.items():  # fmt: skip
        yield f"card {name}", written("card.yml", card.encode(), read_card)
    for name, content in TABLES.items():
        yield f"printed {name}", written("t.csv", content, lambda path: read_printed(str(path), 10, 10))


# --- parameters and folders ------------------------------------------------------------------------------------------

VALUES = ["beta=-1", "beta=0", "beta=nan", "beta=inf", "beta=1e9", "beta=", "beta=one", "bata=1", "=1", "beta", "epochs=0",
          "epochs=1.5", "epochs=-3", "epochs=1e9", "image_size=31", "image_size=1e4", "model=resnet", "model=None", "loss=wce2",
          "loss=focal", "protocol=clean+", "protocol=clean+x=1", "protocol=", "head=native2", "pretraining=chestxray", "seed=-1",
          "seed=99999999999", "recipe=deepcovid", "precision=float16", "edition=open", "cohort=combined", "licences=any",
          "data=x", "output=y", "positive=z", "preparation=lung", "batch_size=1", "valid_fraction=1", "train_limit=3",
          "learning_rate=0", "adam_beta1=1", "batch_norm=tf", "é=1", "beta=0.75 ", "patience=None", "profile=gpu"]  # fmt: skip


def parameter_cases() -> Iterator[tuple[str, Case]]:
    for value in VALUES:
        yield (
            f"-p {value}",
            written("p", value.encode(), lambda path: new_config(**read_parameters([path.read_text()]))),
        )


def folder_cases() -> Iterator[tuple[str, Case]]:
    def of(output: str, marker: str | None) -> Case:
        def case(folder: Path) -> None:
            write_folder(folder / "all" / "data", b"file,label\n", {"images/0.png": png()})
            write_folder(folder / "precious", b"x", {"thesis.tex": b"x"})
            if marker is not None:
                (folder / "precious" / MARKER).write_text(marker)
            output_folder(str(folder / output), str(folder / "all" / "data"))

        return case

    places = ("precious", "all", "all/data", "all/data/report", "precious/thesis.tex", ".", "new", "new/deep")
    markers = (None, "", "{}", "[]", '{"files": []}', '{"files": ["images.csv"]}', '{"files": null}')
    for place, marker in itertools.product(places, markers):
        yield f"report {place} {marker}", of(place, marker)


# --- records ---------------------------------------------------------------------------------------------------------


def a_record() -> Record:
    rows = SPLIT[SPLIT["split"] != "train"].reset_index(drop=True)
    rng = np.random.default_rng(2)
    logit = (rng.normal(0, 2, len(rows)) + rows["label"]).astype(np.float32)
    probability = (1 / (1 + np.exp(-logit.astype(float)))).astype(np.float32)
    table = rows.astype({"component": np.int64, "overlap": bool, "label": np.int8}).assign(
        logit=logit, probability=probability
    )
    columns = ["split", "image_id", "source", "component", "overlap", "label", "logit", "probability"]
    config: RunConfig = new_config(model="squeezenet", pretraining="none", precision="float32")
    history = pd.DataFrame({"epoch": [0], "train_loss": [0.5], "valid_loss": [0.5], "accuracy": [0.5], "kept": [True]})
    provenance = {
        "started": "2026-01-01", "wall_s": 1.0, "machine": machine(__import__("torch").device("cpu")), "device": "cpu",
        "training_code": training_code(), "versions": versions(), "command": "none", "epochs_run": 1, "epoch_kept": 0,
    }  # fmt: skip
    inputs = {"data": digest(1), "samples": digest(2), "weights": None}
    return Record(config, inputs, evaluate(table[columns]), table[columns], history, provenance)


def record_cases() -> Iterator[tuple[str, Case]]:
    record = a_record()

    def of(change: Callable[[Path], object], stays: bool = False) -> Case:
        def case(folder: Path) -> None:
            saved = save_record(record, folder)
            change(saved)
            load_record(saved)
            assert stays, "a changed record was accepted"

        return case

    def edit(name: str, old: str, new: str) -> Case:
        def change(saved: Path) -> None:
            text = (saved / name).read_text()
            assert old in text
            (saved / name).write_text(text.replace(old, new, 1))

        return of(change)

    def replaced(name: str, content: Callable[[bytes], bytes]) -> Case:
        return of(lambda saved: (saved / name).write_bytes(content((saved / name).read_bytes())))

    def without(key: str) -> Callable[[bytes], bytes]:
        return lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != key}).encode()

    for name in ("record.json", "history.csv", "predictions.parquet"):
        yield f"record {name} cut", replaced(name, lambda content: content[: len(content) * 99 // 100])
        yield f"record {name} empty", replaced(name, lambda _: b"")
        yield f"record {name} as text", replaced(name, lambda _: b"x")
    for key in ("format", "config", "inputs", "metrics", "provenance", "files"):
        yield f"record without {key}", replaced("record.json", without(key))
    for old, new in {
        '"format": 3': '"format": 2', '"auroc": 0.': '"auroc": 0.9', '"device": "cpu"': '"device": "gpu"', '"seed": 0': '"seed": 1',
    }.items():  # fmt: skip
        yield f"record {old} -> {new}", edit("record.json", old, new)
    yield "record history", edit("history.csv", "0.5", "0.4")
    yield "record untouched", of(lambda folder: None, stays=True)
    yield "record unlisted", of(lambda folder: (folder.parent / "SHA256SUMS").unlink())


# --- the corpus ------------------------------------------------------------------------------------------------------

KINDS: dict[str, Callable[[], Iterator[tuple[str, Case]]]] = {
    "tables": table_cases, "images": image_cases, "predictions": prediction_cases, "parameters": parameter_cases,
    "folders": folder_cases, "records": record_cases,
}  # fmt: skip
FEWEST = {"tables": 90, "images": 30, "predictions": 80, "parameters": 40, "folders": 50, "records": 15}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_no_input_ends_in_a_traceback_a_silent_loss_or_a_deletion(
    kind: str, phantom_env: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    precious = tmp_path / "outside"
    precious.mkdir()
    (precious / "mine.txt").write_text("mine")
    outcome: Counter[str] = Counter()
    faults = []
    for number, (name, case) in enumerate(KINDS[kind]()):
        folder = precious / str(number)
        folder.mkdir()
        try:
            case(folder)
            outcome["accepted"] += 1
        except CxrError as error:
            outcome["refused"] += 1
            if "\n" in str(error) or not str(error).strip():
                faults.append(f"{name}: not one sentence: {error!r}")
        except AssertionError as error:
            faults.append(f"{name}: silent: {error}")
        except Exception as error:
            faults.append(f"{name}: traceback: {type(error).__name__}: {error}")
        if kind == "folders" and not (folder / "precious" / "thesis.tex").is_file():
            faults.append(f"{name}: deleted what is the user's")
        shutil.rmtree(folder)
    assert (precious / "mine.txt").read_text() == "mine"
    assert not faults, f"{len(faults)} of {sum(outcome.values()) + len(faults)}:\n" + "\n".join(faults)
    assert sum(outcome.values()) >= FEWEST[kind]
    assert outcome["accepted"] > 0
    assert kind == "images" or outcome["refused"] > 0
    record_property(kind, dict(outcome))
