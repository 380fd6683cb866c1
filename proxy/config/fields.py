"""Which names may a credential be put under, and what do all credentials have in common?"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from proxy.config.secrets import AnySecret
from proxy.core.expression import expression

_TOKEN = expression(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Fields that frame a message, route it or belong to one hop: never free to be set.
RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def field_name(written: str) -> str:
    """A header's name (RFC 9110 §5.1) that may be set. Raises ValueError."""
    if not _TOKEN.fullmatch(written):
        raise ValueError("is not a header's name, which is letters, digits and hyphens, as in X-Api-Key")
    if written.lower() in RESERVED:
        raise ValueError(f"{written} is written by the proxy itself for each hop; choose another header")
    return written


FieldName = Annotated[str, AfterValidator(field_name)]
ParameterName = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x20#&=\x7f]+$")]


class Credential(BaseModel):
    """One credential as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    def secrets(self) -> tuple[AnySecret, ...]:
        """The secrets that it is made of."""
        return ()
