"""Wait while another run is at work in this repository: the first stage that a plain `dvc repro` visits."""

from genfoundry import places, turns

HERE = places.Path()


def run() -> None:
    turns.wait(HERE)
