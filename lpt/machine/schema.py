"""Records that came from a file, checked against types with bounds before anything is built."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from lpt.machine.untrusted import Refused, one_line, short

Count = Annotated[int, Field(ge=0, le=1 << 48)]
"""A number of updates, steps or bytes."""
Size = Annotated[int, Field(ge=1, le=1 << 20)]
"""The length of a vector."""
Actions = Annotated[int, Field(ge=1, le=1 << 16)]
"""A number of discrete actions."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that is neither infinite nor none."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A deviation."""
Kind = TypeVar("Kind")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected a text in one line that can be printed")
    return text


Name = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]
"""A short text that a terminal shows as it is."""


def checked(kind: type[Kind], values: Any, where: str, mend: str) -> Kind:
    """Return a record as an instance of its type.

    Args:
        kind: a dataclass or typed dictionary.
        values: what was read.
        where: the file.
        mend: ends the error.

    Raises:
        Refused: an entry is missing, unknown, or of another type or size; names the first.
    """
    try:
        result: Kind = _adapter(cast(Hashable, kind)).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = short(".".join(map(str, first["loc"]))) or "the record"
        if first["type"] in ("missing", "missing_argument"):
            raise Refused(f"{where}: {name} is missing. {mend}") from None
        value = short(repr(first["input"]), 60)
        raise Refused(f"{where}: {name} is {value}: {_reason(first)}. {mend}") from None
    return result


def _reason(first: Any) -> str:
    if first["type"] == "value_error":  # raised by the type's own check, which says what is wrong
        return one_line(first["ctx"]["error"])
    message = str(first["msg"])
    return message[:1].lower() + message[1:]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
