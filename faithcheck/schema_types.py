"""Types that the schemas of YAML files share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from faithcheck.schema_errors import show


class Frozen(BaseModel):
    """An immutable model that refuses unknown keys. The text below a key describes it, in `faithcheck schema` too."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _whole(value: Any) -> Any:
    # Literal[1] alone takes `true`, which Python holds equal to 1.
    if type(value) is not int:
        raise ValueError(f"found {show(value)}; allowed: 1")
    return value


Text = Annotated[str, Field(min_length=1)]
Version1 = Annotated[Literal[1], BeforeValidator(_whole)]
