"""What does an attempt have that was let go, and what is done when it ends?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.core.failure import APIError, CredentialError
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.resilience.quota import DEFAULT
from proxy.core.routing import Origin, Route
from proxy.gateway.gates import Scope
from proxy.gateway.places import Places
from proxy.gateway.tail import Tail

if TYPE_CHECKING:
    from proxy.gateway.resilience import Resilience


class Permit:
    """One attempt that was let go."""

    __slots__ = (
        "_ended",
        "_owner",
        "_scope",
        "began",
        "circuit_era",
        "gate_era",
        "origin",
        "paced",
        "place",
        "request",
        "route",
    )

    def __init__(  # noqa: PLR0917 - made for each attempt: names would cost as much as what they name
        self,
        owner: Resilience,
        request: Request,
        route: Route,
        scope: Scope | None,
        origin: Origin,
        place: Places | None,
        circuit_era: int,
        began: float,
    ) -> None:
        self._owner = owner
        self._scope = scope
        self._ended = False
        self.request = request
        self.route = route
        self.origin = origin
        self.place = place
        self.paced = False
        self.circuit_era = circuit_era
        self.gate_era = 0
        self.began = began

    @property
    def scope(self) -> Scope:
        """What its end speaks for; found out where nobody had to know before."""
        if self._scope is None:
            try:
                self._scope = self._owner.scope(self.request, self.route)
            except CredentialError:  # it went with one that is gone since
                self._scope = Scope(self.route.name, None, DEFAULT)
        return self._scope

    def answered(self, response: Response) -> Response:
        """The head is here; the response to hand on, whose body's end frees the place."""
        if self._ended:
            return response
        fault = response.fault
        if fault is None:
            self._owner.told(self, response.status, response.headers)
        else:
            self._owner.told(self, fault.meant, response.headers, asked=fault.wait)
        self._ended = True
        place = self.place
        if place is None:
            return response
        if isinstance(response.body, Whole):
            place.free()
            return response
        return Tail.after(response, place.free)

    def well(self, status: int, headers: Callable[[], Headers] | None) -> None:
        """A whole success is here, which says something of quotas where `headers` are given."""
        self._ended = True
        try:
            self._owner.well(self, status, headers)
        finally:
            if self.place is not None:
                self.place.free()

    def failed(self, failure: APIError | None) -> None:
        """No answer came; None = its caller left. After `answered` it does nothing."""
        if self._ended:
            return
        self._ended = True
        try:
            self._owner.told(self, failure)
        finally:
            if self.place is not None:
                self.place.free()
