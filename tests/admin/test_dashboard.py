"""Is the page self-contained, and harmless with what strangers send? Its files as they are served."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.admin.served import served


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.inline: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given["id"]} if "id" in given else set()
        self.links += [given[name] for name in ("src", "href", "action", "data") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in in {"script", "style"} and data.strip():
            self.inline.append(self._in)


async def _texts() -> tuple[str, str, str]:
    async with served() as port:
        page, style, script = [
            (await port.ask("GET", path)).body.decode() for path in ("/", "/dashboard.css", "/dashboard.js")
        ]
    return page, style, script


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/dashboard.css", "text/css"), ("/dashboard.js", "text/javascript")],
)
async def test_each_file_has_its_type(path: str, kind: str) -> None:
    async with served() as port:
        answer = await port.ask("GET", path)
        assert answer.fields["content-type"] == f"{kind}; charset=utf-8"


async def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    text, style, script = await _texts()
    page = Page()
    page.feed(text)
    assert page.inline == []
    own = {"/dashboard.css", "/dashboard.js"}
    assert {link for link in page.links if not link.startswith("data:")} == own
    assert "url(" not in style
    assert "@import" not in style
    assert re.findall(r"https?://", script) == []
    assert re.findall(r'fetched\("([^"?]+)', script) == ["/api/v1/status", "/api/v1/requests"]


async def test_strangers_words_are_only_ever_text() -> None:
    _, _, script = await _texts()
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert unsafe not in script
    assert "textContent" in script


async def test_the_script_finds_everything_it_writes_to() -> None:
    text, _, script = await _texts()
    page = Page()
    page.feed(text)
    wanted = set(re.findall(r'byId\("([^"]+)"\)', script)) | set(re.findall(r'\bput\("([^"]+)"', script))
    assert wanted
    assert wanted <= page.ids


async def test_light_and_dark_and_narrow() -> None:
    text, style, _ = await _texts()
    assert "prefers-color-scheme: dark" in style
    assert "max-width" in style
    assert 'name="viewport"' in text
