"""A named size that a plugin file may define: `PROVIDES = [Size("deep", width=32, ...)]`."""

from dataclasses import KW_ONLY, dataclass

from lina_lab.design import sizes
from lina_lab.design.value import Source
from lina_lab.plugins.checks import Entry, check_fields, check_whole

SIZE = "model.size"


@dataclass(frozen=True)
class Size:
    """A value of `model.size`: a word for widths and depths, which then stand in the experiment themselves.

    Raises:
        ValueError: if a field is no whole number above 0.
    """

    word: str
    """What YAML calls it: letters, digits, _ and -."""
    _: KW_ONLY
    width: int
    """Channels D of every token."""
    num_heads: int
    """Heads H, of D / H channels."""
    context_depth: int
    encoder_depth: int
    decoder_depth: int
    head_depth: int
    """Blocks of the flow-matching head."""
    head_width: int

    axis = SIZE

    def __post_init__(self) -> None:
        check_fields(self, {})
        for name in sizes.Size._fields:
            check_whole(self, name)

    def entries(self, source: Source) -> list[Entry]:  # noqa: ARG002, its widths and depths are the key's
        """What the table of named sizes gets."""
        return [Entry(sizes.OWN, sizes.Size(**{name: getattr(self, name) for name in sizes.Size._fields}))]
