"""What huggingface_hub raises, in one line for who asked for a model."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .name import HubAccess, HubError, HubName

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explained(name: HubName, access: HubAccess) -> Iterator[None]:
    """Raises HubError instead of whatever the body's use of huggingface_hub raises."""
    try:
        yield
    except HfHubHTTPError as error:
        raise _answered(error, name, access) from None
    except OfflineModeIsEnabled:
        raise HubError("$HF_HUB_OFFLINE keeps the Hub from being asked") from None
    except httpx2.HTTPError as error:
        raise HubError(f"cannot reach the Hub at {constants.ENDPOINT}: {_reason(error)}") from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise HubError(
                f"no room is left in {constants.HF_HUB_CACHE}: make some, and the same command goes on where it stopped"
            ) from None
        raise HubError(f"cannot get {name}: {_reason(error)}") from None
    except UnicodeEncodeError:  # addresses are quoted, headers aren't
        raise HubError("the token (in $HF_TOKEN, or of `hf auth login`) must be visible ASCII characters") from None
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # JSON that is none, or something else's
        raise HubError(f"what answers at {constants.ENDPOINT} is no Hub: {_reason(error)}") from None


def _answered(error: HfHubHTTPError, name: HubName, access: HubAccess) -> HubError:
    """For an answer that isn't what was asked for."""
    has_token = bool(access.token or get_token())
    page = f"{constants.ENDPOINT}/{name.repo}"
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        if has_token:
            return HubError(f"{name.repo} is gated, and your token has no access to it: ask for it at {page}")
        return HubError(
            f"{name.repo} is gated: ask for access at {page}, and give a token in $HF_TOKEN "
            f"(from {constants.ENDPOINT}/settings/tokens)"
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(f"{name.repo} has no revision {name.revision or constants.DEFAULT_REVISION}")
    if isinstance(error, RepositoryNotFoundError):
        if has_token:
            return HubError(f"there is no repository {name.repo} at {constants.ENDPOINT}, or your token can't read it")
        return HubError(
            f"there is no repository {name.repo} at {constants.ENDPOINT}; if it is private, give a token in $HF_TOKEN"
        )
    if status == 401:
        return HubError("the Hub refuses the token (in $HF_TOKEN, or of `hf auth login`)")
    if status == 403:
        return HubError(f"the Hub denies access to {name.repo}: {error.server_message or 'the token may not read it'}")
    return HubError(
        f"the Hub answers {status} for {name.repo}" + (f": {error.server_message}" if error.server_message else "")
    )


def _reason(error: Exception) -> str:
    """One line: libraries append advice in lines of their own."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
