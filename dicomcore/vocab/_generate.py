"""Writes the tables in ``data/`` from a folder with the facts of the standard; run by hand when the standard moves on.

    python dicomcore/vocab/_generate.py FOLDER

FOLDER holds data_elements.tsv, private_elements.tsv, uids.tsv, sop_classes.tsv, transfer_syntaxes.tsv, vr.tsv,
dimse_status.tsv, media.json and tls_profiles.json. Only the columns named below are kept; of media.json, the directory
records.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = {
    "data_elements": ("elements", ("tag", "keyword", "name", "vr", "vm", "retired")),
    "private_elements": ("private_elements", ("creator", "group", "element", "vr", "vm", "name")),
    "uids": ("uids", ("uid", "keyword", "name", "type", "retired")),
    "sop_classes": (
        "sop_classes",
        ("uid", "keyword", "name", "service_class", "iod", "dimse", "retired", "directory_record", "related_general"),
    ),
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
            "lossy_method_code",
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


# Macros that directory records include at their own level; the others stand in items, which are copied whole.
MACROS = {"table_10-12": (("00200013", "1"), ("00700080", "1"), ("00700081", "2"), ("00700084", "2"))}
# Below a series like their kin; of the last two the source names no keys: what an instance has of these is copied.
LATER_KEYS = "00080005:1C,00080023:1C,00080033:1C,00200013:1C,00700080:1C,00700081:1C,00700084:1C"
LATER = {"SURFACE SCAN": "", "ANNOTATION": LATER_KEYS, "WF PRESENTATION": LATER_KEYS}
ROOT = "Root Directory Entity"


def directory_records(media: dict[str, dict[str, list[Any]]]) -> list[list[str]]:
    """Rows of record type, its parents (empty for the root) and its keys as ``tag:type``."""
    parents: dict[str, list[str]] = {name: ["SERIES"] for name in LATER}
    for parent, children in media["record_hierarchy"].items():
        for child in children:
            if not child.startswith("("):
                parents.setdefault(child, []).append("" if parent == ROOT else parent)
    rows = []
    for name in sorted(parents):
        keys = [
            f"{tag}:{kind}"
            for row in media["record_keys"].get(name, [])
            if row["d"] == 0 and not row.get("all_other")
            for tag, kind in (MACROS[row["include"]] if "include" in row else [(row["tag"], row["type"])])
        ]
        rows.append([name, ",".join(parents[name]), ",".join(keys) or LATER.get(name, "")])
    return rows


TLS_COLUMNS = (
    *("clause", "retired", "min", "prefer", "tls13", "dhe_min_bits", "ecdhe_min_bits"),
    *("suites", "tls13_suites"),
)


def tls_profiles(profiles: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Rows of name and what the profile says; lists are joined by commas, what it leaves open is empty."""

    def cell(value: Any) -> str:
        if isinstance(value, bool):
            return "Y" if value else ""
        return ",".join(value) if isinstance(value, list) else str(value or "")

    return [[name, *(cell(row.get(column)) for column in TLS_COLUMNS)] for name, row in profiles.items()]


def write_table(path: Path, rows: list[list[str]]) -> None:
    text = "".join("\t".join(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def generate(source: Path, target: Path) -> None:
    for name, (table, columns) in COLUMNS.items():
        with (source / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
            rows = [
                [row[column] for column in columns]
                for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            ]
        write_table(target / f"{table}.tsv", [list(columns), *rows])
    media = json.loads((source / "media.json").read_text(encoding="utf-8"))
    header = ["record_type", "parents", "keys"]
    write_table(target / "directory_records.tsv", [header, *directory_records(media)])
    tls = json.loads((source / "tls_profiles.json").read_text(encoding="utf-8"))
    write_table(target / "tls_profiles.tsv", [["name", *TLS_COLUMNS], *tls_profiles(tls["profiles"])])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    generate(Path(sys.argv[1]), Path(__file__).parent / "data")
