"""How the science is run: stages (one thin file each), commands that a person or CI calls, and their orchestration."""
