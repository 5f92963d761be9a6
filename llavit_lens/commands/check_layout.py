"""What `llavit-lens check-layout` does: the paint test on a model, as a small table."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llavit_lens.images.open import open_image
from llavit_lens.waiting import PYTORCH, waiting


def layout_report(image: Path, model: str, tokens: int, seed: int, on_image: bool) -> bool:
    """Print which token changed most for each painted box; whether all are right.

    Args:
        image: gives the size of what is painted, or the pixels too.
        model: as `load` takes it.
        tokens, seed: as in `check_layout`.
        on_image: paint on the image, not on one plain color.

    Raises:
        LlavitLensError: a model or an image that cannot be read, or a layout without a map.
    """
    opened = open_image(image)  # before any slow import
    with waiting(PYTORCH):
        from llavit_lens.vlm.layout_check import check_layout
        from llavit_lens.vlm.program import load
    vlm = load(model)
    with waiting("Painting patches"):
        check = check_layout(vlm, opened, tokens=tokens, seed=seed, plain=not on_image)
    layout = check.layout
    tiles = len(layout.grid) > 1
    table = Table()
    for name in ("token", *["tile"] * tiles, "row, column", "changed most", "others more", "share"):
        table.add_column(name, justify="right")
    for token, found, rank, share in zip(
        check.painted, check.found, check.rank, check.share, strict=True
    ):
        tile = [layout.tile_name(int(layout.tile[token]))] * tiles
        place, other = (
            "none" if cell < 0 else f"{layout.row[cell]}, {layout.col[cell]}"
            for cell in (token, found)
        )
        style = "" if rank == 0 else "bold red"
        position = str(layout.positions[token])
        table.add_row(position, *tile, place, other, str(rank), f"{share:.0%}", style=style)
    console = Console()
    console.print(Text(f"{model}: {layout.summary}", style="bold"))
    console.print(table)
    console.print(Text(f"{check.summary} ({check.seconds:.1f} s)"))
    return check.ok
