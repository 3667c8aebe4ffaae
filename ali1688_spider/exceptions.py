"""The errors of the project, one tree; each branch says where it is raised.

::

    Ali1688Error
    ├── ConfigurationError                config, spiders, commands: a setting or argument is wrong
    ├── MalformedMessageError             gateway.calls, scheduling: not a call, or not a message
    ├── DailyQuotaExhaustedError          quota: no call is left today
    ├── StoreUnavailableError             storage: the database stayed away
    ├── DocumentRefusedError              storage: the database refuses this document
    └── CallError                         gateway: a call brought no data; see its action
        ├── TransportError                no response, or none that can be read            RETRY
        │   ├── ConnectionFailedError
        │   ├── CallTimeoutError
        │   ├── UnreadableResponseError
        │   └── UnreachedError            the call did not reach the gateway
        │       ├── ConnectionRefusedByHostError
        │       ├── DnsError
        │       └── TlsError
        ├── ServiceError                  the platform is in trouble                       RETRY
        ├── UnknownRefusalError           no row of the table knows it                     RETRY
        ├── BusinessRefusalError          likewise, of a service behind the gateway        RETRY
        ├── NoProductError                success, but no product                          RETRY
        ├── TokenStoreError               the kept tokens cannot be reached                RETRY
        ├── FlowControlError              too many calls                                   WAIT
        │   ├── AppCallLimitError         perhaps of the day
        │   └── BlockedError              a firewall's page instead of a response
        ├── TokenRefusedError             the access token is missing or expired   REFRESH_TOKEN
        ├── ClockError                    the timestamp is off                             CLOCK
        ├── ProductGoneError              the product does not exist (any more)            GONE
        ├── InvalidCallError              the call's parameters are wrong               GIVE_UP
        ├── NotServedError                the API does not show it to this app          GIVE_UP
        │   ├── RelationMissingError
        │   └── NotCuratedError
        ├── ForeignHostError              middlewares.signing: the call was not sent    GIVE_UP
        ├── ApiClosedError                this app cannot use this API                    CLOSE
        │   ├── ApiUnknownError
        │   ├── PermissionMissingError
        │   └── PackageUsedUpError
        ├── DailyQuotaError               the platform grants no more calls today         CLOSE
        └── CredentialsError              no call of this app can succeed                 CLOSE
            ├── SignatureRefusedError
            ├── AppKeyRefusedError
            └── AuthorizationError        gateway.tokens, too: no refresh is possible

    scrapy.exceptions.IgnoreRequest
    ├── CallGivenUpError                  middlewares.errors: a call has failed for good
    └── CrawlClosingError                 shutdown, middlewares: the crawl ends before the call
"""

from __future__ import annotations


class Ali1688Error(Exception):
    """Base of all errors of the project."""


class ConfigurationError(Ali1688Error):
    """A setting or an argument is missing or wrong; the text is one sentence with the way out."""


class MalformedMessageError(Ali1688Error):
    """A queue message is none of the accepted forms; the text says why."""
