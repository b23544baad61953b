"""Wait while another run is at work in this repository: the first stage that a plain `dvc repro` visits.

A repository that git refuses is refused here, before anything else runs.
"""

from genfoundry import places, shell, turns

HERE = places.Path()


def run() -> None:
    turns.wait(HERE)
    shell.check_repository(HERE)  # a champion of an unknown commit could not be measured again
