"""Access tokens: how an app is authorised, how its tokens are kept and refreshed."""

from ali1688_spider.gateway.tokens.file_store import FileTokenStore
from ali1688_spider.gateway.tokens.grant import TokenGrant
from ali1688_spider.gateway.tokens.keeper import TokenKeeper
from ali1688_spider.gateway.tokens.oauth import (
    TOKEN_API,
    authorization_url,
    exchange_parameters,
    refresh_parameters,
)
from ali1688_spider.gateway.tokens.redis_store import RedisTokenStore
from ali1688_spider.gateway.tokens.store import TokenStore, TokenStoreError

__all__ = [
    "TOKEN_API",
    "FileTokenStore",
    "RedisTokenStore",
    "TokenGrant",
    "TokenKeeper",
    "TokenStore",
    "TokenStoreError",
    "authorization_url",
    "exchange_parameters",
    "refresh_parameters",
]
