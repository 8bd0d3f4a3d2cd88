"""Write the pictures: `python -m docs.concepts.diagrams`, in the root of the repository."""

from pathlib import Path

from docs.concepts.diagrams.pictures import PICTURES

for name, draw in PICTURES.items():
    path = Path(__file__).with_name(f"{name}.svg")
    path.write_text(draw().written(), encoding="utf-8")
