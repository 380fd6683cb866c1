"""What did the operator say about the whole process? The file's sections as validated values.

The defaults here are the contract's. Values come from `proxy/config/loading.py`, which knows the layers
(command line, environment, file, defaults) and the line that each value stands on.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from proxy.config.addresses import Address, ListenAddress
from proxy.config.credentials import secrets_of
from proxy.config.fields import FieldName
from proxy.config.later import Later
from proxy.config.places import PLACES, known
from proxy.config.redis import RedisSettings
from proxy.config.routes import MIB, Section, UpstreamDefaults, UpstreamSettings
from proxy.config.secrets import AnySecret, FileSecret, Secret
from proxy.config.units import Duration, Size
from proxy.config.words import Ratio, Wait

_EXPORTER = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
MOST_WORKERS = 64
_WORKERS_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}, {"const": "auto"}]}
)
FileName = Annotated[str, Field(min_length=1)]


def _workers(written: Any) -> Any:
    if written == "auto":
        return written
    if isinstance(written, bool) or not str(written).isdecimal() or not 1 <= int(written) <= MOST_WORKERS:
        raise ValueError(f"should be the number of workers, 1 to {MOST_WORKERS}, or auto: one a core")
    return int(written)


def _collector(written: str) -> str:
    try:
        parts = urlsplit(written)
        fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fit = False
    if not fit or parts.query or parts.fragment:
        raise ValueError("should be the collector's URL, such as http://127.0.0.1:4318")
    if "@" in parts.netloc:
        raise ValueError("holds a credential; set it as OTEL_EXPORTER_OTLP_HEADERS, in the environment")
    if not _exportable():
        raise ValueError(
            "needs packages that are missing; pip install 'leeward[tracing]', in a checkout '.[tracing]'"
        )
    return written


def _exportable() -> bool:
    """Whether what sends traces is installed; it is not imported for that."""
    try:
        return all(find_spec(name) is not None for name in _EXPORTER)
    except ModuleNotFoundError:  # of a package around it
        return False


class ServerTLS(Section):
    """Files, PEM. With `client_ca`, callers must show a certificate that it signed."""

    cert: FileName
    key: FileName
    client_ca: FileName | None = None


class ServerSettings(Section):
    listen: ListenAddress = Address(host="127.0.0.1", port=8080)
    admin: ListenAddress = Address(host="127.0.0.1", port=9464)
    workers: Annotated[int | Literal["auto"], BeforeValidator(_workers), _WORKERS_SCHEMA] = 1
    client_token: Secret | None = None
    tls: ServerTLS | None = None
    max_request_body: Size = 64 * MIB
    max_replay_memory: Size = 64 * MIB
    max_replay_disk: Size = 1024 * MIB
    header_timeout: Wait = 10.0
    idle_timeout: Wait = 75.0
    drain_timeout: Duration = 25.0
    fast_path: bool = True


class StoreSettings(Section):
    """The cache as a whole; what is cached, and for how long, stands with each upstream."""

    store: Annotated[str, BeforeValidator(known), WithJsonSchema({"pattern": PLACES})] = "memory://"
    max_bytes: Size = 256 * MIB
    max_entry_bytes: Size = 8 * MIB
    max_idempotency_bytes: Size = 64 * MIB
    tag_headers: list[FieldName] = Field(default_factory=lambda: ["Cache-Tag", "Surrogate-Key", "xkey"])
    redis: RedisSettings = Field(default_factory=dict, validate_default=True)


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    access: bool = True
    bodies: bool = False


class TracingSettings(Section):
    otlp_endpoint: Annotated[str, AfterValidator(_collector)] | None = None
    sample: Ratio = 1.0

    def share(self) -> float:
        """Of requests that are traced."""
        return 0.0 if self.otlp_endpoint is None else self.sample


UpstreamName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Settings(BaseSettings):
    """All that can be set, checked and complete."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False
    )

    server: ServerSettings = Field(default_factory=dict, validate_default=True)
    cache: StoreSettings = Field(default_factory=dict, validate_default=True)
    log: LogSettings = Field(default_factory=dict, validate_default=True)
    tracing: TracingSettings = Field(default_factory=dict, validate_default=True)
    # Merged below each upstream before it comes here; here it is checked by itself.
    defaults: Annotated[Any, Later(lambda: UpstreamDefaults)] = Field(default_factory=lambda: None)
    upstreams: Annotated[dict[UpstreamName, UpstreamSettings], Field(min_length=1)]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: the layers are ours, since each value must know its line."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def secrets(self) -> Iterator[AnySecret]:
        """Every secret that is used: the callers' token, the store's and the upstreams' credentials."""
        yield from self.own_secrets()
        for upstream in self.upstreams.values():
            yield from secrets_of(upstream.auth)

    def own_secrets(self) -> Iterator[AnySecret]:
        """Those that are no upstream's."""
        redis = self.cache.redis
        for secret in (self.server.client_token, redis.password, redis.sentinel_password):
            if secret is not None:
                yield secret

    def file_secrets(self) -> tuple[FileSecret, ...]:
        """Those to `refresh` now and then, each once per place that uses it."""
        return tuple(secret for secret in self.secrets() if isinstance(secret, FileSecret))
