"""Data frames in and out. pandas is asked for only where a frame is made; a frame that is given brings it along."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from infusionlaw.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame


class Frame(Protocol):
    """What is asked of a data frame: names of columns, and rows in order. pandas.DataFrame has both."""

    @property
    def columns(self) -> Any: ...

    def itertuples(self, index: bool = True, name: str | None = None) -> Iterable[tuple[Any, ...]]: ...


def frame_rows(frame: Frame) -> tuple[list[str], dict[int, dict[str, Any]]]:
    """Return the names of a frame's columns and its rows from 0, as `tabular.read_rows` does of a file.

    NaN, NaT and pandas.NA are None, text is stripped. Raises InputError where two columns have one name.
    """
    header = [str(name).strip() for name in frame.columns]
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice:
        raise InputError(f'the data frame: two columns are named "{twice}"; rename or remove one')
    rows = frame.itertuples(index=False, name=None)
    return header, {n: dict(zip(header, map(_cell, row), strict=True)) for n, row in enumerate(rows)}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip() or None
    if type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    return value.item() if getattr(value, "shape", None) == () else value  # numpy's scalars


def frame_of(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> "DataFrame":
    """Return a data frame with these columns; what a row lacks is missing. InputError where pandas is not installed."""
    try:
        from pandas import DataFrame
    except ModuleNotFoundError as error:
        raise InputError("to_frame() needs pandas; install it: pip install pandas") from error
    return DataFrame([[row.get(name) for name in columns] for row in rows], columns=list(columns))
