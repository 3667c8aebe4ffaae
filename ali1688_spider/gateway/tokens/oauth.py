"""The authorisation of an app by a 1688 user: OAuth 2.0, as the open platform speaks it.

Source: https://open.1688.com/doc/apiAuth.htm. The same parameters go to the token API at
``{ALI1688_GATEWAY}/param2/1/system.oauth2/getToken/{app key}``, by POST, so that no secret stands
in an address.
"""

from __future__ import annotations

from urllib.parse import urlencode

TOKEN_API = "system.oauth2:getToken-1"  # noqa: S105  # the name of an API
"""The API that grants tokens, named as all APIs of param2 are."""

_AUTHORIZE = "https://auth.1688.com/oauth/authorize"


def authorization_url(app_key: str, redirect_uri: str, state: str) -> str:
    """Return the page where a user authorises the app.

    Args:
        app_key: The app.
        redirect_uri: Where the user is sent with ``?code=…&state=…``; the code lives minutes.
        state: An unguessable text of the caller's, to recognise its own user by.
    """
    query = {
        "client_id": app_key,
        "site": "1688",
        "redirect_uri": redirect_uri,
        "state": state,
    }
    return f"{_AUTHORIZE}?{urlencode(query)}"


def exchange_parameters(
    app_key: str, app_secret: str, *, code: str, redirect_uri: str
) -> dict[str, str]:
    """Return the form that exchanges an authorisation code for tokens."""
    return {
        "grant_type": "authorization_code",
        "need_refresh_token": "true",
        "client_id": app_key,
        "client_secret": app_secret,
        "redirect_uri": redirect_uri,
        "code": code,
    }


def refresh_parameters(app_key: str, app_secret: str, *, refresh_token: str) -> dict[str, str]:
    """Return the form that asks for a new access token.

    The documentation names the parameter ``refresh_token``, the official SDKs send
    ``refreshToken``; both are sent.
    """
    return {
        "grant_type": "refresh_token",
        "client_id": app_key,
        "client_secret": app_secret,
        "refresh_token": refresh_token,
        "refreshToken": refresh_token,
    }
