"""What is known of an API beforehand, and how does it come below what the operator says?

The law: a preset is nothing but keys of an upstream, so every one of them can be overridden, and what an
operator writes anywhere wins. Its rules come after the operator's, for the first match wins.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from proxy.config import document
from proxy.config.document import Document
from proxy.core.value import dataclass

FOLDER = Path(__file__).resolve().parent.parent / "presets"
# What a preset says about itself beside an upstream's keys.
ABOUT = ("about", "docs", "address", "yours", "environment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One preset as it is written.

    `address` is an example where the base URL is each user's own, `yours` one of other keys that are; `reads`
    names the environment variables that it looks at.
    """

    name: str
    about: str
    address: str | None
    yours: Mapping[str, Any]
    keys: Mapping[str, Any]
    reads: tuple[str, ...]
    document: Document
    text: str


def names() -> tuple[str, ...]:
    """Those that come with Leeward."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def is_file(written: str) -> bool:
    """Whether this names a file and not a preset that comes along."""
    return "/" in written or written.endswith((".yaml", ".yml"))


def read(written: str, folder: Path | None = None) -> Preset:
    """The preset of that name, or of that file, seen from `folder`. Raises ValueError."""
    if is_file(written):
        path, name = (folder or Path()) / written, written
    else:
        # azure_openai and Azure-OpenAI are the same to whoever writes them.
        plain = {_plain(one): one for one in names()}
        known = plain.get(_plain(written), "")
        path, name = FOLDER / f"{known}.yaml", f"preset {known}"
        if not known:
            near = difflib.get_close_matches(written.lower(), names(), n=1, cutoff=0.6)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
            raise ValueError(f"is no preset; {meant} A file is written with its path, as in ./my-api.yaml")
    found = document.read(path)
    found.name = name if not is_file(written) else str(path)
    if found.problems and not found.data:
        raise ValueError(f"{path} {found.problems[0].message}")
    about, address, yours = (found.data.get(key) for key in ("about", "address", "yours"))
    given = {key: value for key, value in found.data.items() if key not in ABOUT}
    also = found.data.get("environment")
    reads = [*variables(given), *(map(str, also) if isinstance(also, list) else ())]
    return Preset(
        name=path.stem,
        about=about if isinstance(about, str) else "",
        address=address if isinstance(address, str) else None,
        yours=yours if isinstance(yours, Mapping) else {},
        keys=given,
        reads=tuple(dict.fromkeys(reads)),
        document=found,
        text=path.read_text(encoding="utf-8-sig"),
    )


def _plain(written: str) -> str:
    return written.lower().replace("-", "").replace("_", "").replace(" ", "")


def keys(preset: Preset, environ: Mapping[str, str]) -> dict[str, Any]:
    """An upstream's keys as the preset gives them; an address in a variable is looked up here."""
    given = dict(preset.keys)
    address = given.get("base_url")
    if isinstance(address, Mapping) and address.keys() == {"env"}:
        found = environ.get(str(address["env"]))
        if found:
            given["base_url"] = found
        else:
            del given["base_url"]
    return given


def variables(value: Any) -> Iterator[str]:
    """The names of the environment variables that a preset reads, in order."""
    match value:
        case {"env": str(name)} if len(value) == 1:
            yield name
        case Mapping():
            for below in value.values():
                yield from variables(below)
        case list():
            for below in value:
                yield from variables(below)
        case _:
            return
