from __future__ import annotations

from ali1688_spider.delivery.signature import signature


def test_a_signature_that_openssl_made() -> None:
    # printf '1795435200.{"changes":[]}' | openssl dgst -sha256 -hmac s3cret
    expected = "sha256=94b550de3569f9af97387a34a5917ce7a5f6add865c54a235f5415c47e5fe415"
    assert signature("s3cret", "1795435200", b'{"changes":[]}') == expected
