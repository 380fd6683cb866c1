"""Which bytes of a WebSocket may pass, and where may a frame of our own go between them? (RFC 6455)

The law: frames pass byte for byte, masked as they came, so that fragments, pings, compression and close
codes mean at one end what they meant at the other. A frame that breaks the protocol does not pass, nor
anything behind it; nothing passes behind a Close. The head of a frame passes only whole, a control frame
too; the payload of a data frame as it comes, so that no frame is too large and none is held.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1

from proxy.core.expression import expression
from proxy.core.failure import BadRequestError
from proxy.core.message import Headers
from proxy.core.value import dataclass

VERSION = "13"
SWITCHING = 101
# What a Close of ours says (§7.4.1).
GOING_AWAY, PROTOCOL_ERROR, INVALID_TEXT, OTHER_FAILED = 1001, 1002, 1007, 1011
# Of one hop: each side has its own key, and what is accepted is accepted from it.
OWN_FIELDS = frozenset({"sec-websocket-key", "sec-websocket-accept", "sec-websocket-version"})

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = expression(r"[A-Za-z0-9+/]{21}[AQgw]==")  # 16 bytes in base64 (§4.1)
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_OPCODES = frozenset({_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG})
_FINAL, _RESERVED, _OPCODE, _CONTROL, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x08, 0x80, 0x7F
_MOST_CONTROL = 125
_TWO = 126  # in the place of a length: it follows in two bytes; 127: in eight
# IANA's list of the codes below 3000 that may stand in a frame; from there to 4999 all may.
_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_FREE_CODES = range(3000, 5000)


class VersionNeeded(BadRequestError):
    """426: the caller speaks another version of the protocol (§4.2.2)."""

    default_status = 426


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """How a frame breaks the protocol: the code with which its sender is told (§7.4.1)."""

    code: int
    text: str


def accept(key: str) -> str:
    """What a server answers to a key (§4.2.2)."""
    return b64encode(sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()).decode()


def asked(headers: Headers) -> str:
    """The key of a caller's handshake. Raises VersionNeeded and BadRequestError (§4.2.1)."""
    keys, versions = headers.all("sec-websocket-key"), headers.all("sec-websocket-version")
    if versions != [VERSION] and versions:
        raise VersionNeeded(f"Only version {VERSION} of the WebSocket protocol is spoken here.")
    if not versions or len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise BadRequestError(
            "A WebSocket handshake needs one Sec-WebSocket-Key of 16 bytes and one Sec-WebSocket-Version."
        )
    return keys[0]


def agreed(sent: Headers, answer: Headers, key: str) -> str | None:
    """What is wrong with a server's 101 to a handshake with `key`; None where nothing is (§4.1)."""
    if (answer.joined("upgrade") or "").strip().lower() != "websocket":
        return "The upstream switches to another protocol than WebSocket."
    if "upgrade" not in _members(answer, "connection"):
        return "The upstream switches protocols without saying so in Connection."
    if answer.all("sec-websocket-accept") != [accept(key)]:
        return "The upstream's Sec-WebSocket-Accept does not answer our key."
    if not _members(answer, "sec-websocket-extensions", ";") <= _members(
        sent, "sec-websocket-extensions", ";"
    ):
        return "The upstream uses a WebSocket extension that was not offered."
    chosen = answer.all("sec-websocket-protocol")
    offered = [name.strip() for name in (sent.joined("sec-websocket-protocol") or "").split(",")]
    if len(chosen) > 1 or (chosen and (not chosen[0] or chosen[0] not in offered)):
        return "The upstream chose a WebSocket subprotocol that was not offered."
    return None


def _members(headers: Headers, name: str, before: str = ",") -> set[str]:
    """The members of a list in lower case, of each only what stands before a mark."""
    line = headers.joined(name) or ""
    return {member.partition(before)[0].strip().lower() for member in line.split(",") if member.strip()}


def goodbye(code: int, text: str, mask: bytes = b"") -> bytes:
    """A Close frame; `mask` is 4 random bytes where a client sends it, none where a server does."""
    payload = code.to_bytes(2, "big") + text.encode()
    head = bytes((_FINAL | _CLOSE, len(payload) | (_MASKED if mask else 0)))
    return head + mask + (_unmasked(payload, mask) if mask else payload)


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


class Frames:
    """The frames of one direction, looked at as they pass.

    `masked`: they come from a client. `extended`: an extension was agreed on, which may use the reserved
    bits. `left` are the bytes still to come of the data frame under way, `closed` whether a Close has
    passed, with `code` where it named one.
    """

    __slots__ = ("_extended", "_held", "_masked", "_message", "broken", "closed", "code", "left")

    def __init__(self, *, masked: bool, extended: bool) -> None:
        self._masked = masked
        self._extended = extended
        self._held = b""  # the beginning of a head or of a control frame
        self._message = False  # a message is under way, of which not all fragments have come
        self.left = 0
        self.closed = False
        self.code: int | None = None
        self.broken: Broken | None = None

    def passing(self, data: bytes) -> bytes:
        """What may pass now that these bytes have come; the rest is held until its frame is whole."""
        if self._ended():
            return b""
        data = self._held + data
        at, end = 0, len(data)
        while at < end and not self._ended():
            if self.left:
                step = min(self.left, end - at)
                self.left -= step
            else:
                step = self._frame(data, at)
                if not step:
                    break
            at += step
        # At most 13 bytes of a head, or 130 of a control frame.
        self._held = b"" if self._ended() else data[at:]
        return data[:at]

    def _ended(self) -> bool:
        return self.closed or self.broken is not None

    def _frame(self, data: bytes, at: int) -> int:
        """Bytes of the head that begins here, of a control frame all; 0 where they are not all here."""
        here = len(data) - at
        if here < 2:  # noqa: PLR2004 - the fixed part of a head (§5.2)
            return 0
        first, second = data[at], data[at + 1]
        text = self._wrong(first, second)
        if text is not None:
            return self._break(PROTOCOL_ERROR, text)
        length, control = second & _LENGTH, first & _CONTROL
        more = 0 if length < _TWO else 2 if length == _TWO else 8
        size = 2 + more + (4 if self._masked else 0)
        if here < size + (length if control else 0):
            return 0
        if control:
            may = first & _OPCODE != _CLOSE or self._close(data, at + size, length)
            return size + length if may else 0
        if more:
            # A longer form than needed is read by everybody in the same way, so it passes.
            length = int.from_bytes(data[at + 2 : at + 2 + more], "big")
        if length >> 63:
            return self._break(PROTOCOL_ERROR, "The length of a frame has its first bit set.")
        self.left = length
        self._message = not first & _FINAL
        return size

    def _wrong(self, first: int, second: int) -> str | None:
        """What is wrong with the first two bytes of a frame (§5.2, 5.4, 5.5)."""
        opcode = first & _OPCODE
        if first & _RESERVED and not self._extended:
            return "A reserved bit is set."
        if opcode not in _OPCODES:
            return "The opcode is none."
        if bool(second & _MASKED) is not self._masked:
            return "A client's frame is not masked." if self._masked else "A server's frame is masked."
        if opcode & _CONTROL:
            if not first & _FINAL or second & _LENGTH > _MOST_CONTROL:
                return "A control frame is too large or in fragments."
        elif (opcode == _CONTINUATION) is not self._message:
            return "A fragment continues no message, or a message begins within another."
        return None

    def _close(self, data: bytes, at: int, length: int) -> bool:
        """Whether the Close whose payload begins here may pass (§5.5.1, 7.4)."""
        payload = data[at : at + length]
        if self._masked:
            payload = _unmasked(payload, data[at - 4 : at])
        code = int.from_bytes(payload[:2], "big")
        if payload and (len(payload) == 1 or (code not in _CODES and code not in _FREE_CODES)):
            self._break(PROTOCOL_ERROR, "The code of a Close is none.")
            return False
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            self._break(INVALID_TEXT, "The reason of a Close is not UTF-8.")
            return False
        self.closed = True
        self.code = code if payload else None
        return True

    def _break(self, code: int, text: str) -> int:
        self.broken = Broken(code=code, text=text)
        return 0
