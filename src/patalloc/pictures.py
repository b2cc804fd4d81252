"""Pictures by matplotlib, the extra `plot`."""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def require_matplotlib() -> None:
    """Raises ImportError, with what to install, where it is not there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'patalloc[plot]'") from None


def picture(figure: "Figure", form: str) -> bytes:
    """As svg or png."""
    data = BytesIO()
    figure.savefig(data, format=form, metadata={"Date": None} if form == "svg" else None, dpi=150)
    return data.getvalue()
