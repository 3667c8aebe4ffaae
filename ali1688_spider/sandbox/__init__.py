"""A local gateway that behaves like the real one, in a process of its own.

It serves three protocols at once: ``router`` at ``/router/json``, ``top`` at ``/router/rest`` and
``param2`` at ``/openapi/param2/…``, authorisation included (``/oauth/authorize``,
``system.oauth2/getToken``; a code lives two minutes). Every signature is checked by an
implementation of its own; no code is shared with the client.

Products are made from their ids, from 610000000001 on; a keyword that ends in a number finds that
many of them (:mod:`.products`). Any hundred in a row show every shape of an answer
(:class:`.product_facts.Traits`): prices of the model of 2026 (every 11th product, of which
610000000066 has the documentation's: one piece 4.80, from two 4.05), campaigns, prices of
drop-shipping, absurd weights and missing ones, other states than published. Some are curated goods
(``--curated``), and ``alibaba.cross.*`` tells only those that the app has a relation to
(``--related``, none by itself; the platform's own calls make relations). The only product pool is
174316138, of all curated goods.

Its options: :mod:`.options`; the names of errors and faults: :mod:`.platform_errors` and
:mod:`.faults`; the APIs, and how to add one: :mod:`.apis`.

While it runs it is watched and controlled through these addresses. Bodies of requests and responses
are JSON objects; a wrong one is answered with status 400 and ``{"error": <sentence>}``.

``GET /_sandbox/status`` (``?products=0`` leaves ``by_product`` out)
    ``calls`` (refused ones too), ``by_api`` ``{API: calls}``, ``by_product``
    ``{"<id>": calls that passed every check, alone or with others}``,
    ``answered`` (with data), ``errors``
    ``{name: refusals}``, ``faults`` ``{name: faults dealt out}``, ``refused_signatures``,
    ``refused_rate`` (rate and bans), ``token_refreshes``, ``max_calls_per_second`` (the most calls
    in any sliding second), ``first_call_at`` and ``last_call_at`` (seconds since 1970 by this
    machine's clock, null before the first), ``connections`` (accepted), ``used_today`` (of the
    day's quota), ``step`` (of drift), ``messages`` ``{made, confirmed, callbacks, taken: so many}``
    and ``undelivered`` (those that wait).

``POST /_sandbox/reset``
    Resets the counts; with ``{"everything": true}`` also settings, products, faults, tokens, rate
    and quota, as they were when the sandbox started.

``GET``, ``POST``, ``DELETE /_sandbox/products/{id}``
    All return what is now true of the product, private or not: ``product_id``, ``exists``, and if
    it does ``name``, ``price`` (the lowest wholesale price, as exact text, CNY), ``price_max`` (the
    highest), ``retail_price`` (of one piece, in the model of 2026), ``promotion_price`` (of a
    running campaign), ``dropship_price``, the last three null where there is none, ``stock``,
    ``status``, ``tiers`` ``[{min_quantity, price}]``, ``skus`` ``[{sku_id, stock, tiers}]`` with
    the same prices but the highest, ``category_id``, ``seller_id``, ``modified_at`` (seconds since
    1970), ``related``, ``followed``, ``curated``, ``traits`` (:class:`.product_facts.Traits`).
    POST sets any of ``name``, ``stock``, ``status`` and the prices ``price``, ``retail_price`` and
    ``promotion_price`` (any JSON value, passed on as it is; a price that is a number or its text
    moves those of the SKUs, and ``price`` all others, with it; null ends a campaign or the model of
    2026), ``removed``, ``related``, ``followed`` and ``curated`` (true or false) and ``answer``:
    the whole body of all responses about the product, a text as it is, anything else as JSON, null
    for the usual one. It is then modified now. DELETE forgets what was set.

``GET``, ``POST /_sandbox/messages``
    GET returns the messages of the platform that were not delivered, POST makes one and returns it:
    ``{"type": "ORDER_BUYER_VIEW_ORDER_PAY", "data": {…}}``, any other field likewise. Which change
    of a product makes which messages, and when they are posted to ``callback``:
    :mod:`.platform_messages`.

``GET /_sandbox/images/{id}.png``
    Returns the picture of a product. Uploaded as it is, it finds that product first
    (:mod:`.pictures`).

``POST /_sandbox/faults``
    ``{"product_id": 610000000001, "faults": ["500", "html"]}``: the next two calls of this product
    fail so. ``{"api": "alibaba.product.search", "faults": […]}``: likewise the next calls of an
    API, by its full name. ``{"faults": "500,html", "rate": 0.6, "times": 2}``: replaces the options
    ``--faults``, ``--fault-rate`` and ``--fault-times``. An empty list or text ends them.

``GET``, ``POST /_sandbox/settings``
    Both return the options in force. POST changes any but the address, the protocols and the number
    of products, for example ``{"qps": 5, "latency": 20, "clock_skew": 7200, "daily_quota": 10,
    "deny": ["alibaba.product.search"], "step": 1}``. The gateway's days, bans and tokens follow its
    clock, so ``clock_skew`` also lets time pass. ``access_token``, ``refresh_token`` and
    ``token_lifetime`` start with fresh tokens; ``{"expire_token": true}`` lets the access token
    expire now.
"""

DESCRIPTION = "Run a local gateway that behaves like the real one"
