"""Which split an arm is measured on: `val`, where choices are made; `test` once, for a table of what was chosen."""

from __future__ import annotations

import argparse


def add_option(parser: argparse.ArgumentParser) -> None:
    """`--split`: no other file of bench/ may name test."""
    parser.add_argument(
        "--split",
        choices=("val", "test"),
        default="val",
        help="what to measure on; test for the final table alone, when everything is chosen",
    )
