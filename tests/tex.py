"""pdfLaTeX where it is installed."""

import pytest

from lina_lab.report.pdflatex import INSTALL, has_pdflatex

needs_tex = pytest.mark.skipif(not has_pdflatex(), reason=f"no pdflatex here: {INSTALL}")
"""Skips aloud where there is no TeX, as in CI."""
