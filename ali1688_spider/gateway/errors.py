"""The errors that a call can end in, each with the one action that fits.

:mod:`ali1688_spider.exceptions` draws the tree.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from ali1688_spider.exceptions import Ali1688Error
from ali1688_spider.redaction import redact_foreign

OPEN_PRODUCT_API = "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1"
"""The API that shows a buyer's app every product, without a relation."""


class ErrorAction(Enum):
    """What is to be done about an error."""

    RETRY = "try again with back-off"
    WAIT = "slow down every worker, wait the seconds that were asked for, try again"
    REFRESH_TOKEN = "refresh the token once, try once more"  # noqa: S105  # no password
    CLOCK = "measure the clock skew, try once more"
    GONE = "record the product as removed"
    GIVE_UP = "give this call up"
    CLOSE = "close the crawl with the error's close_reason"


class CallError(Ali1688Error):
    """A call brought no data.

    Attributes:
        error_class: Short name for the statistic ``ali1688/errors/{class}``.
        advice: What a person can do about it, in one or two plain sentences.
        close_reason: The crawl's close reason where the action is CLOSE, else empty.
        blameless: The call itself cannot be the cause, so that it loses no attempt.
        max_attempts: Most tries of a call for a product that ends in this error, where that is
            less than ``ALI1688_MAX_ATTEMPTS``; 0 for no limit of its own.
        message: What the platform said, shortened, without anything that looks like a secret.
        code: The platform's code, or empty, as is its ``sub_code`` (router and top only).
        status: HTTP status; None without a response.
        retry_after: Seconds that the platform asks to wait, or None.
    """

    action: ClassVar[ErrorAction]
    error_class: ClassVar[str]
    advice: ClassVar[str]
    close_reason: ClassVar[str] = ""
    blameless: ClassVar[bool] = False
    max_attempts: ClassVar[int] = 0

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        sub_code: str = "",
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = _presentable(message, 200)
        self.code = _presentable(code, 80)
        self.sub_code = _presentable(sub_code, 80)
        self.status = status
        self.retry_after = retry_after
        super().__init__(self.message)

    def __str__(self) -> str:
        parts = [self.code, self.sub_code, self.message or self.error_class.replace("_", " ")]
        shown = ": ".join(part for part in parts if part)
        return shown if self.status is None else f"{shown} (HTTP {self.status})"


class TransportError(CallError):
    """No response came, or none that can be read."""

    action = ErrorAction.RETRY


class ConnectionFailedError(TransportError):
    """The connection was reset or lost."""

    error_class = "connection"
    advice = (
        "Check that ALI1688_GATEWAY names the right host and port, and that no firewall or proxy "
        "(https_proxy) stands in between."
    )


class UnreachedError(TransportError):
    """The call did not reach the gateway, which has not counted it."""

    blameless = True


class ConnectionRefusedByHostError(UnreachedError):
    """Nobody listens at the gateway's address, or the proxy does not connect to it."""

    error_class = "connection_refused"
    advice = ConnectionFailedError.advice


class DnsError(UnreachedError):
    """The gateway's name does not resolve."""

    error_class = "unknown_host"
    advice = "Check the host name in ALI1688_GATEWAY and this machine's DNS."


class CallTimeoutError(TransportError):
    """The response took too long."""

    error_class = "timeout"
    advice = "Check the network; raise DOWNLOAD_TIMEOUT if the gateway is only slow."


class TlsError(UnreachedError):
    """No trustworthy encrypted connection could be made."""

    error_class = "tls"
    advice = (
        "The gateway's certificate could not be verified: check ALI1688_GATEWAY, this machine's "
        "clock and certificate store, and any proxy that opens TLS. Do not switch the check off: "
        "it protects your credentials."
    )


class UnreadableResponseError(TransportError):
    """The response is HTML, empty, cut off, in a wrong encoding, or of an unknown shape."""

    error_class = "unreadable_answer"
    advice = (
        "If it stays, check that ALI1688_GATEWAY is the API's address for ALI1688_PROTOCOL, and "
        "that no proxy answers in its place. A response beyond DOWNLOAD_MAXSIZE is cut off too."
    )


class ServiceError(CallError):
    """The platform, or a service behind it, is in trouble or short of capacity."""

    action = ErrorAction.RETRY
    error_class = "service"
    advice = "The platform is in trouble; nothing to do but to try again later."


class UnknownRefusalError(CallError):
    """The platform refused in words that no row of the table knows."""

    action = ErrorAction.RETRY
    error_class = "unknown_refusal"
    advice = "Look the code up in the platform's documentation; `scrapy failed retry` tries again."


class BusinessRefusalError(CallError):
    """The gateway took the call, and a service behind it refused in words that no row knows.

    What a service says of one product, it says again: a second try is enough.
    """

    action = ErrorAction.RETRY
    error_class = "business_refusal"
    advice = UnknownRefusalError.advice
    max_attempts = 2


class NoProductError(CallError):
    """The platform reports success and shows no product.

    To one public client that means "no such offer"; the official pages do not say so. Therefore it
    is no ProductGoneError: a living product must not be written as removed on a guess.
    """

    action = ErrorAction.RETRY
    error_class = "no_product"
    advice = (
        "The platform shows no such product without saying that it is gone, so nothing is stored "
        "of it: check the id; `scrapy failed retry` asks again."
    )
    max_attempts = 2


class TokenStoreError(CallError):
    """The kept tokens cannot be reached; the call that needs them can be tried again."""

    action = ErrorAction.RETRY
    error_class = "token_store"
    advice = (
        "Check that Redis (REDIS_URL) is reachable; without Redis, that the token file and its "
        "directory can be read and written by this user."
    )


class FlowControlError(CallError):
    """Too many calls in too short a time."""

    action = ErrorAction.WAIT
    error_class = "flow_control"
    advice = "If it happens often, lower ALI1688_QPS to what the platform grants your app."
    blameless = True


class BlockedError(FlowControlError):
    """A firewall's page instead of a response, because of the rate or of the call."""

    blameless = False


class AppCallLimitError(FlowControlError):
    """The app's calls are used up: for the moment or, when a wait does not help, for the day."""

    error_class = "app_call_limit"
    advice = (
        "When it comes again after a wait, the day's calls are used up and the crawl ends: set "
        "ALI1688_DAILY_QUOTA to what the platform grants your app."
    )


class TokenRefusedError(CallError):
    """The access token is missing, wrong or expired."""

    action = ErrorAction.REFRESH_TOKEN
    error_class = "token"
    advice = (
        "Authorise the app with `scrapy auth`, or set ALI1688_ACCESS_TOKEN and "
        "ALI1688_REFRESH_TOKEN."
    )


class ClockError(CallError):
    """The timestamp of the call is too far from the gateway's time."""

    action = ErrorAction.CLOCK
    error_class = "clock"
    advice = "Set this machine's clock (NTP); its time zone does not matter."


class ProductGoneError(CallError):
    """The product does not exist, or not any more."""

    action = ErrorAction.GONE
    error_class = "product_gone"
    advice = "Nothing to do: the product is kept with the status `removed`."


class InvalidCallError(CallError):
    """The platform does not accept this call's parameters, now or ever."""

    action = ErrorAction.GIVE_UP
    error_class = "call_wrong"
    advice = (
        "Check the product id or the search's arguments, and that ALI1688_PRODUCT_API and "
        "ALI1688_SEARCH_API name the API you mean; `scrapy failed list` shows the call."
    )


class NotServedError(CallError):
    """The product may well exist, but the configured API does not show it to this app."""

    action = ErrorAction.GIVE_UP


class RelationMissingError(NotServedError):
    """The API shows only products that the app has a relation to, and to this one it has none."""

    error_class = "no_relation"
    advice = (
        "The app has no relation to the product: make one with "
        "com.alibaba.product.push:alibaba.cross.syncProductListPushed-1 (20 ids a call), or set "
        f"ALI1688_PRODUCT_API={OPEN_PRODUCT_API}, which needs none."
    )


class NotCuratedError(NotServedError):
    """The API serves curated products (精选货源) only, and this is none."""

    error_class = "not_curated"
    advice = (
        "The product is not in the curated pool (精选货源): for products of every kind set "
        f"ALI1688_PRODUCT_API={OPEN_PRODUCT_API}."
    )


class ForeignHostError(CallError):
    """The call would have gone to another host than the gateway, and was not sent."""

    action = ErrorAction.GIVE_UP
    error_class = "foreign_host"
    advice = "No setting leads here: please report it. `scrapy failed retry` tries again."


class ApiClosedError(CallError):
    """This app cannot use this API; other APIs may work."""

    action = ErrorAction.CLOSE
    close_reason = "permission_denied"


class ApiUnknownError(ApiClosedError):
    """There is no API of this name."""

    error_class = "api_unknown"
    advice = "Check the name and version in ALI1688_PRODUCT_API or ALI1688_SEARCH_API."


class PermissionMissingError(ApiClosedError):
    """The API exists, but this app, or its user, may not use it."""

    error_class = "permission"
    advice = (
        "Order the API for the app of ALI1688_APP_KEY in the open platform's console, or choose "
        "another one with ALI1688_PRODUCT_API or ALI1688_SEARCH_API."
    )


class PackageUsedUpError(ApiClosedError):
    """The package of calls that was bought for this API is used up."""

    error_class = "package_used_up"
    advice = (
        "Buy another package of calls in the open platform's console, or choose another API with "
        "ALI1688_PRODUCT_API or ALI1688_SEARCH_API."
    )


class DailyQuotaError(CallError):
    """The calls that the platform grants for one day (GMT+8) are used up."""

    action = ErrorAction.CLOSE
    error_class = "daily_quota"
    advice = (
        "Start again after midnight in China (GMT+8): what is left stays queued. Set "
        "ALI1688_DAILY_QUOTA to what the platform grants your app."
    )
    close_reason = "quota_exhausted"


class CredentialsError(CallError):
    """No call can succeed until a person corrects the credentials."""

    action = ErrorAction.CLOSE
    close_reason = "bad_credentials"


class SignatureRefusedError(CredentialsError):
    """The platform computes another signature for the same call."""

    error_class = "signature"
    advice = (
        "Check that ALI1688_APP_SECRET belongs to ALI1688_APP_KEY, and that ALI1688_PROTOCOL (and "
        "ALI1688_SIGN_METHOD for top) is the one of your platform: today's 1688 Open Platform "
        "takes only param2."
    )


class AppKeyRefusedError(CredentialsError):
    """The platform does not know the app key, or it has expired."""

    error_class = "app_key"
    advice = (
        "Check ALI1688_APP_KEY, and that ALI1688_GATEWAY is the platform that issued it; an "
        "expired key is renewed in the open platform's console."
    )


class AuthorizationError(CredentialsError):
    """The access token is refused and cannot be refreshed."""

    error_class = "authorization"
    advice = (
        "Authorise the app again with `scrapy auth`, or set a fresh ALI1688_ACCESS_TOKEN and "
        "ALI1688_REFRESH_TOKEN; check that both belong to ALI1688_APP_KEY."
    )


def _presentable(text: str, length: int) -> str:
    """Return a platform's text on one line, without secrets, at most ``length`` long."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    line = redact_foreign(" ".join(printable.split()))
    return line if len(line) <= length else line[: length - 1] + "…"
