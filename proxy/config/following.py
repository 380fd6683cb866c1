"""When does the file of a secret or of a certificate change, and what is told of it?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from proxy.config.certificates import CertificateError, Certified
from proxy.config.secrets import AnySecret, FileSecret
from proxy.core.failure import CredentialError

_LOGGER = logging.getLogger("leeward")
_EVERY = 0.5  # seconds between two looks: a change is in force within one


def missing(secrets: Iterable[AnySecret]) -> list[str]:
    """Blocking: reads each before the loop needs it; what is wrong with those that cannot be had."""
    troubles: dict[str, None] = {}
    for secret in secrets:
        try:
            secret.reveal()
        except CredentialError as error:
            troubles[error.detail] = None
    return list(troubles)


async def follow(
    files: Sequence[FileSecret],
    certified: Sequence[Certified] = (),
    take: Callable[[Certified], None] = Certified.renew,
) -> None:
    """Notices changed files for ever, in a thread: a mount that hangs must not hang requests.

    `take` is called with certificates that have changed and can be used.
    """
    told: dict[FileSecret, str | None] = {file: file.trouble() for file in files}
    unseen = {one for one in certified if not one.known}
    while True:
        await asyncio.sleep(_EVERY)
        for file in files:
            if await asyncio.to_thread(file.refresh):
                _LOGGER.info("A secret was renewed from its file: %s", file.path)
            trouble = file.trouble()
            if trouble is not None and trouble != told[file]:
                _LOGGER.warning("The last good value of a secret is used further: %s", trouble)
            told[file] = trouble
        for one in certified:
            try:
                if not await asyncio.to_thread(one.look):
                    continue
                take(one)
            except CertificateError as error:
                _LOGGER.warning("The certificate from before is used further: %s", error)
            else:
                if one not in unseen:
                    _LOGGER.info("A certificate was renewed from its file: %s", one.file)
            finally:
                unseen.discard(one)
