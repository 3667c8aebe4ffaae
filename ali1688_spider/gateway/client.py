"""Calls the platform; works in any program, without Scrapy.

::

    from ali1688_spider.gateway.client import Client

    client = Client(app_key="…", app_secret="…", access_token="…", protocol="param2")
    product = client.product(610000000001)
    print(product["name"], product["price"])

Every method that waits for the platform has a twin for asynchronous programs:
``await client.product_async(610000000001)``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp

from ali1688_spider.gateway import fields
from ali1688_spider.gateway.api import ProductApi
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import choose_apis, find_api
from ali1688_spider.gateway.clock import GatewayClock
from ali1688_spider.gateway.errors import CallError, ClockError, ErrorAction, InvalidCallError
from ali1688_spider.gateway.pictures import UPLOAD_API, encode_picture
from ali1688_spider.gateway.protocols import (
    DEFAULT_GATEWAYS,
    CallSigner,
    WireCall,
    WireResponse,
    param2_path,
)
from ali1688_spider.gateway.response import read_response, transport_error
from ali1688_spider.gateway.token_stores import TokenStore
from ali1688_spider.gateway.tokens import TOKEN_API, TokenGrant, TokenKeeper
from ali1688_spider.redaction import SecretRedactor

if TYPE_CHECKING:
    from ali1688_spider.gateway.api import Country
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.gateway.fields import Fields
    from ali1688_spider.gateway.parsing import SearchPage
    from ali1688_spider.gateway.protocols import HttpMethod, ProtocolName, SignMethod

TIMEOUT_SECONDS = 30

_T = TypeVar("_T")


async def send_once(
    request: aiohttp.ClientRequest, send_request: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send *request* once; a middleware of an aiohttp session.

    By itself aiohttp sends a GET a second time when the connection breaks before the response. The
    gateway may have taken and counted the first one, and would see its signature again; whoever
    made the call signs a new one.

    Raises:
        aiohttp.ClientError: As without it; a connection that breaks is a ClientConnectionError of
            no subclass, which aiohttp does not act on.
    """
    try:
        return await send_request(request)
    except aiohttp.ClientConnectorError:  # nothing was sent
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


async def send(call: WireCall) -> WireResponse:
    """Send *call* over a connection of its own, by the environment's proxies and certificates."""
    started = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, trust_env=True, middlewares=(send_once,)
            ) as session,
            session.request(
                call.http_method,
                call.url,
                data=call.body,
                headers=call.headers,
                allow_redirects=False,
            ) as response,
        ):
            body = await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise transport_error(error) or error from None
    headers = {name.lower(): value for name, value in response.headers.items()}
    return WireResponse(response.status, headers, body, time.monotonic() - started)


class Client:
    """One app's access to the platform; not for several threads at the same time.

    Every method that calls the platform, or reads its response, raises CallError when it brings no
    data, ProductGoneError among them when there is no such product.

    Args:
        access_token: The user's authorisation, and the means to renew it; both may be empty.
        gateway: The endpoint; by default the protocol's own.
        sign_method: For ``top`` only.
        product_api: Name of the API; by default, as for *search_api*, the usual one.
        country: Language of the translations that the platform sets beside its Chinese texts.
        token_store: Keeps refreshed tokens; by default they last as long as the client.
        redactor: Learns every token, so that logs do not show it.
        transport: Sends calls; raises TransportError when no response comes.

    Raises:
        ConfigurationError: The protocol has no API of that name.
    """

    def __init__(
        self,
        *,
        app_key: str,
        app_secret: str,
        access_token: str = "",
        refresh_token: str = "",
        protocol: ProtocolName = "router",
        gateway: str = "",
        sign_method: SignMethod = "md5",
        http_method: HttpMethod = "POST",
        product_api: str = "",
        search_api: str = "",
        country: Country = "en",
        token_store: TokenStore | None = None,
        redactor: SecretRedactor | None = None,
        transport: Callable[[WireCall], Awaitable[WireResponse]] = send,
    ) -> None:
        self.protocol = protocol
        self.gateway = gateway.rstrip("/") or DEFAULT_GATEWAYS[protocol]
        self.apis = choose_apis(protocol, product_api, search_api, country)
        self.clock = GatewayClock()
        self._signer = CallSigner(
            protocol, self.gateway, app_key, app_secret, http_method, sign_method
        )
        self._transport = transport
        self.tokens = TokenKeeper(
            TokenGrant.configured(access_token, refresh_token),
            token_store or TokenStore(),
            self.clock,
            self._fetch_tokens,
            redactor=redactor or SecretRedactor(),
        )

    @property
    def identity(self) -> str:
        """Text that differs between gateways, apps and users; nothing secret or changing.

        An app may act for several users, who may see different prices.
        """
        return f"{self._signer.app_key}:{self.tokens.grant.origin[:16]}@{self.gateway}"

    def address(self, call: ApiCall) -> str:
        """Return the URL that *call* goes to, without anything secret."""
        return self._signer.address(self.apis.name(call))

    def prepare(self, call: ApiCall) -> WireCall:
        """Return *call*, signed at this moment, for any HTTP client to send."""
        return self._sign(self.apis.name(call), self.apis.parameters(call))

    def read(
        self,
        response: WireResponse,
        api_name: str = "",
        *,
        text_expected: bool = False,
        protocol: ProtocolName | None = None,
    ) -> Any:
        """Return the data of an API's response, see :func:`read_response`; learn the time."""
        api = find_api(api_name)
        refused = False
        try:
            return read_response(
                protocol or self.protocol,
                response,
                text_expected=text_expected,
                product_expected=isinstance(api, ProductApi),
                needs_relation=isinstance(api, ProductApi) and api.needs_relation,
            )
        except ClockError:
            refused = True
            raise
        finally:
            date = response.headers.get("date")
            self.clock.learn(date, round_trip=response.round_trip, refused=refused)

    def product(self, product_id: int, *, description: bool = False) -> Fields:
        """Return the fields of the product record that the platform sets, unchecked.

        With *description* also the HTML of the product's page, which is long.
        """
        return _run(self.product_async(product_id, description=description))

    async def product_async(self, product_id: int, *, description: bool = False) -> Fields:
        """Return the same as :meth:`product`."""
        call = ApiCall.product(product_id)
        data = await self.request_async(self.apis.name(call), self.apis.parameters(call))
        fields = self.apis.product.parse(data, description=description)
        return {"product_id": product_id} | fields

    def search(self, **params: Value) -> SearchPage:
        """Return a page of a search; *params* are those of :class:`ApiCall`."""
        return _run(self.search_async(**params))

    async def search_async(self, **params: Value) -> SearchPage:
        """Return the same as :meth:`search`."""
        api = self.apis.serving(params)
        call = ApiCall.search(**{"page": 1, "page_size": api.max_page_size, **params})
        return api.parse(await self.request_async(api.name, self.apis.parameters(call)))

    def upload_picture(self, content: bytes) -> str:
        """Return the id of a picture, to search by; a large one is made smaller.

        ValueError is raised for what is no picture, ConfigurationError without Pillow.
        """
        return _run(self.upload_picture_async(content))

    async def upload_picture_async(self, content: bytes) -> str:
        """Return the same as :meth:`upload_picture`."""
        params = {"uploadImageParam": {"imageBase64": encode_picture(content)}}
        data = await self.request_async(UPLOAD_API, params)
        image_id = fields.section(data, "result").get("result")
        if not isinstance(image_id, int | str) or image_id in {0, "0", ""}:
            raise InvalidCallError("the platform takes no such picture: give another one")
        return str(image_id)

    def request(self, api_name: str, params: Mapping[str, object]) -> Any:
        """Return the data of any API; a refused token or timestamp is corrected, once each."""
        return _run(self.request_async(api_name, params))

    async def request_async(self, api_name: str, params: Mapping[str, object]) -> Any:
        """Return the same as :meth:`request`."""
        if not self.tokens.is_loaded:
            await self.tokens.load()
        to_correct = {ErrorAction.REFRESH_TOKEN, ErrorAction.CLOCK}
        while True:
            access_token = self.tokens.current()
            try:
                return await self.attempt(api_name, params)
            except CallError as error:
                if error.action not in to_correct:
                    raise
                to_correct.remove(error.action)
                if error.action is ErrorAction.REFRESH_TOKEN:
                    await self.tokens.refresh(access_token)

    async def attempt(
        self, api_name: str, params: Mapping[str, object], *, text_expected: bool = False
    ) -> Any:
        """Return the data of one attempt at an API; nothing is corrected."""
        response = await self._transport(self._sign(api_name, params))
        return self.read(response, api_name, text_expected=text_expected)

    def authorise(self, code: str, redirect_uri: str) -> TokenGrant:
        """Exchange an authorisation code for tokens, and keep them."""
        return _run(self.authorise_async(code, redirect_uri))

    async def authorise_async(self, code: str, redirect_uri: str) -> TokenGrant:
        """Return the same as :meth:`authorise`."""
        form = {"code": code, "redirect_uri": redirect_uri, "need_refresh_token": "true"}
        await self.tokens.adopt(await self._ask_token_api("authorization_code", form))
        return self.tokens.grant

    async def _fetch_tokens(self, refresh_token: str) -> Mapping[str, Any]:
        # The documentation names it refresh_token, the official SDKs send refreshToken.
        form = {"refresh_token": refresh_token, "refreshToken": refresh_token}
        return await self._ask_token_api("refresh_token", form)

    async def _ask_token_api(self, grant_type: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Return what the token API grants, which is at the gateway's host for all protocols."""
        is_param2, parts = self.protocol == "param2", urlsplit(self.gateway)
        base = self.gateway if is_param2 else f"{parts.scheme}://{parts.netloc}/openapi"
        app = {"client_id": self._signer.app_key, "client_secret": self._signer.app_secret}
        body = urlencode({"grant_type": grant_type, **app, **form}).encode()
        call = WireCall("POST", f"{base}/{param2_path(TOKEN_API, self._signer.app_key)}", body)
        data: Mapping[str, Any] = self.read(await self._transport(call), protocol="param2")
        return data

    def _sign(self, api_name: str, params: Mapping[str, object]) -> WireCall:
        return self._signer.sign(api_name, params, self.tokens.current(), self.clock)


def _run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end; in a thread of its own where an event loop runs already, as in notebooks."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
