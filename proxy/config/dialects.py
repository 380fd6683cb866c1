"""How does an API speak of its failures, as a preset or the operator writes it?

Each section yields core's own value; places, globs and words are checked here, so that nothing is found
out on the first failure.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from proxy.config.fields import FieldName
from proxy.config.units import Duration
from proxy.core import failure
from proxy.core.dialect import PLAIN, Dialect, Form, Meter, Place, Row
from proxy.core.failure import APIError

KINDS: dict[str, type[APIError]] = {
    kind.code: kind
    for kind in (
        failure.InvalidRequestError,
        failure.AuthenticationError,
        failure.PermissionDeniedError,
        failure.NotFoundError,
        failure.ConflictError,
        failure.RateLimitError,
        failure.QuotaExhaustedError,
        failure.ServerError,
        failure.UnavailableError,
        failure.UpstreamTimeoutError,
    )
}


_FIRST_FAILURE = 400


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


def _place(written: str) -> str:
    Place.of(written)
    return written


def _several(written: Any) -> Any:
    return written if isinstance(written, list) else [written]


def _plain(written: Any) -> Any:
    """As a JSON body says it."""
    if isinstance(written, bool):
        return "true" if written else "false"
    return str(written) if isinstance(written, int | float) else written


def _texts(written: Any) -> Any:
    return [_plain(one) for one in _several(written)]


def _kind(written: Any) -> Any:
    if written not in KINDS:
        raise ValueError(f"should be one of {', '.join(KINDS)}")
    return written


PlaceName = Annotated[str, AfterValidator(_place), Field(json_schema_extra={"examples": ["error.code"]})]
_Text = Annotated[str, Field(min_length=1)]
# One or several: a lone value stands for a list of one.
Texts = Annotated[list[_Text], BeforeValidator(_texts, json_schema_input_type=Any)]
Statuses = Annotated[
    list[Annotated[int, Field(ge=200, le=599)]], BeforeValidator(_several, json_schema_input_type=Any)
]
Kind = Annotated[str, BeforeValidator(_kind), Field(json_schema_extra={"enum": list(KINDS)})]


class RowSettings(_Section):
    """What an answer looks like, and what it then means; the first row that fits counts."""

    means: Kind | None = None
    status: Statuses = []
    path: Annotated[str, Field(pattern=r"^[/*][^?#]*$")] | None = None
    code: Texts = []
    says: Texts = []
    when: dict[PlaceName, Texts] = {}
    retry: bool | None = None
    wait: Duration | Literal["reset"] | None = None

    @model_validator(mode="after")
    def _meant(self) -> RowSettings:
        if self.means is None and any(status < _FIRST_FAILURE for status in self.status):
            raise ValueError(
                "a row for a success says what it means instead; write means: with one of the codes"
            )
        return self

    def row(self) -> Row:
        return Row(
            kind=None if self.means is None else KINDS[self.means],
            path=self.path,
            statuses=frozenset(self.status),
            codes=tuple(self.code),
            says=tuple(word.lower() for word in self.says),
            when=tuple((Place.of(place), tuple(globs)) for place, globs in self.when.items()),
            again=self.retry,
            wait=self.wait if isinstance(self.wait, int | float) else None,
            until_reset=self.wait == "reset",
        )


class MeterSettings(_Section):
    """The fields in which answers say how much of a quota is left."""

    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,40}$")] = "default"
    limit: FieldName | None = None
    remaining: FieldName | None = None
    reset: FieldName | None = None
    used: FieldName | None = None
    grammar: Literal["delta", "epoch", "duration", "iso", "date"] | None = None

    def meter(self) -> Meter:
        def lower(name: str | None) -> str | None:
            return None if name is None else name.lower()

        return Meter(
            bucket=self.bucket,
            limit=lower(self.limit),
            remaining=lower(self.remaining),
            reset=lower(self.reset),
            used=lower(self.used),
            grammar=self.grammar,
        )


class FormSettings(_Section):
    """A failure of ours as the API would tell it: `{message} {code} {word} {status} {request_id}`."""

    type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+(?:; ?charset=utf-8)?$")] = "application/json"
    when: dict[FieldName, _Text] = {}
    body: Any
    words: dict[str, str] = {}
    statuses: dict[str, Annotated[int, Field(ge=400, le=599)]] = {}
    headers: dict[FieldName, str] = {}
    event: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None

    def form(self) -> Form:
        return Form(
            media_type=self.type,
            body=self.body,
            when=tuple((name.lower(), glob.lower()) for name, glob in self.when.items()),
            words=dict(self.words),
            statuses=dict(self.statuses),
            fields=tuple(self.headers.items()),
            event=self.event,
        )


class DialectSettings(_Section):
    """Where an API's answers say what, and how it would tell of our failures."""

    message: list[PlaceName] = []
    code: list[PlaceName] = []
    request_id: list[PlaceName] = []
    failures: list[RowSettings] = []
    quota: list[MeterSettings] = []
    native: list[FormSettings] = []
    stop: dict[FieldName, str] = {}
    sensitive: list[_Text] = []

    def dialect(self) -> Dialect:
        """PLAIN itself where nothing is written: of such an API no body is looked at."""
        made = Dialect(
            message=tuple(map(Place.of, self.message)),
            code=tuple(map(Place.of, self.code)),
            request_id=tuple(map(Place.of, self.request_id)),
            rows=tuple(row.row() for row in self.failures),
            quota=tuple(meter.meter() for meter in self.quota),
            forms=tuple(form.form() for form in self.native),
            stop=tuple(self.stop.items()),
            sensitive=frozenset(name.lower() for name in self.sensitive),
        )
        return PLAIN if made == PLAIN else made


class ProbeSettings(_Section):
    """What `leeward check --live` asks to see whether the credential works: a call without effect."""

    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = "GET"
    path: Annotated[str, Field(pattern=r"^/[^#\s]*$")] = "/"
    body: Any = None
    scopes: PlaceName | None = None
