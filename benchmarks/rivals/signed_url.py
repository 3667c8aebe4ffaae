"""A signed call of the gateway, as tutorials build it: a whole URL, made where the request is."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

GATEWAY = os.environ["ALI1688_GATEWAY"]
APP_KEY = os.environ["ALI1688_APP_KEY"]
APP_SECRET = os.environ["ALI1688_APP_SECRET"]

CHINA = timezone(timedelta(hours=8))


def signed_url(product_id: int | str) -> str:
    parameters = {
        "method": "alibaba.product.get",
        "app_key": APP_KEY,
        "timestamp": datetime.now(CHINA).strftime("%Y-%m-%d %H:%M:%S"),
        "format": "json",
        "product_id": str(product_id),
    }
    text = "".join(name + value for name, value in sorted(parameters.items())) + APP_SECRET
    sign = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
    return f"{GATEWAY}?{urlencode(parameters | {'sign': sign})}"
