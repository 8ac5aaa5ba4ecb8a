"""Writes the tables in ``data/`` from a folder with the facts of the standard; run by hand when the standard moves on.

    python dicomcore/vocab/_generate.py FOLDER

FOLDER holds data_elements.tsv, private_elements.tsv, uids.tsv, sop_classes.tsv, transfer_syntaxes.tsv, vr.tsv and
dimse_status.tsv. Only the columns named below are kept.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

COLUMNS = {
    "data_elements": ("elements", ("tag", "keyword", "name", "vr", "vm", "retired")),
    "private_elements": ("private_elements", ("creator", "group", "element", "vr", "vm", "name")),
    "uids": ("uids", ("uid", "keyword", "name", "type", "retired")),
    "sop_classes": ("sop_classes", ("uid", "keyword", "name", "service_class", "iod", "dimse", "retired")),
    "transfer_syntaxes": (
        "transfer_syntaxes",
        (
            "uid",
            "keyword",
            "name",
            "endian",
            "explicit_vr",
            "encapsulated",
            "deflated",
            "pixel_loss",
            "codec",
            "retired",
        ),
    ),
    "vr": (
        "vrs",
        (
            "vr",
            "name",
            "storage",
            "explicit_length_bytes",
            "max_length",
            "unit",
            "pad_hex",
            "multi_valued",
            "uses_specific_charset",
        ),
    ),
    "dimse_status": ("statuses", ("service", "dimse", "status", "category", "meaning")),
}


def generate(source: Path, target: Path) -> None:
    for name, (table, columns) in COLUMNS.items():
        with (source / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
            rows = [
                [row[column] for column in columns]
                for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            ]
        lines = ("\t".join(row) for row in ([list(columns), *rows]))
        (target / f"{table}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    generate(Path(sys.argv[1]), Path(__file__).parent / "data")
