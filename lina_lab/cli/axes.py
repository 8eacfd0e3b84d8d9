"""`lab axes`: every design axis with its question, and its values with formula and source."""

from pathlib import Path

from lina_lab.cli.options import Plugins


def axes(plugins: Plugins = []) -> None:  # noqa: B006, typer reads it
    """List every design axis, its values and formulas.

    Example: lab axes

    Example: lab axes --plugin my_attention.py
    """
    from rich.console import Console
    from rich.text import Text

    from lina_lab.config.variants import VARIANTS
    from lina_lab.design.axes import AXES, OTHER_AXES
    from lina_lab.design.value import plain
    from lina_lab.plugins.load import find, load

    for name in plugins:
        load(find(name, Path()))
    console = Console(soft_wrap=True)
    for path, axis in ({f"model.attention.{name}": axis for name, axis in AXES.items()} | OTHER_AXES).items():
        console.print(Text(path, style="bold"), Text(axis.question))
        for value, meaning in axis.values.items():
            console.print(Text(f"  {plain(value)!s:<16} {meaning.formula}"))
            console.print(Text(f"  {'':<16} {meaning.source}", style="dim"))
        console.print()
    console.print(
        "A segment takes another value of an attention axis with model.context.NAME, model.encoder.NAME or "
        "model.decoder.NAME.\n"
    )
    console.print(Text("Published variants", style="bold"), Text("as values; everything else is the default."))
    for variant, values in VARIANTS.items():
        words = " ".join(f"{key}={value}" for key, value in values.items())
        console.print(Text(f"  {variant:<16} {words or 'the default'}"))
