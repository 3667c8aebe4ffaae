from __future__ import annotations

import pytest
from redis.crc import key_slot

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.scheduling import keys
from ali1688_spider.scheduling.keys import QUEUE_KEY, START_KEY, QueueKeys


def test_all_keys_live_on_the_node_of_the_start_list() -> None:
    all_keys = QueueKeys.of(QUEUE_KEY % {"spider": "product"})

    assert all_keys.start == START_KEY % {"name": "product"} == "product:start_urls"
    assert all_keys.ready == "{product:start_urls}:requests"
    assert len({key_slot(key.encode()) for key in all_keys}) == 1
    assert len(set(all_keys)) == len(QueueKeys._fields)


def test_every_key_is_documented() -> None:
    for key in QueueKeys.of(QUEUE_KEY % {"spider": "product"}):
        assert f"\n``{key}`` " in (keys.__doc__ or "")


@pytest.mark.parametrize("key", ["product:requests", "{}:requests", "{a}:queue", "{{a}}:requests"])
def test_a_key_without_the_start_list_as_its_tag_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="SCHEDULER_QUEUE_KEY"):
        QueueKeys.of(key)
