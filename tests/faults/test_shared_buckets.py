"""The README's policies for shared buckets, as far as a server on this machine can tell: a proxy refuses by them.

Whether Amazon and Google understand the policies as we do cannot be tried here. What can: that a member's work makes
no request which they refuse, that every write is conditional, and what is said of the requests which they do refuse.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import ModelRegistry, StorageError
from friday_store.plugins import Plugins
from tests.servers.fixtures import Proxied

README = Path(__file__).parents[2] / "README.md"
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@pytest.fixture(params=["s3", "gcs"])
def bucket(request: pytest.FixtureRequest) -> Proxied:
    """A bucket, through a proxy, with a registry in it that its owner made past the proxy."""
    found: Proxied = request.getfixturevalue(f"{request.param}_proxied")
    with opened(found.direct) as owner:
        owner.register_model({"w": 1}, "m", "1.0.0", serializer="json", aliases=["production"])
    return found


def opened(place: Any) -> ModelRegistry:
    """Open the registry."""
    return ModelRegistry(place.url, plugins=Plugins(()), storage_options=place.options)


def deny(bucket: Proxied, *requests: tuple[str, str]) -> None:
    """Refuse requests by method and target, as a policy does."""
    for method, target in requests:
        bucket.proxy.trouble("status", method=method, target=target, times=None, status=403, body=DENIED)


ERASING = (("DELETE", r"^(?!.*uploadId=)"), ("POST", r"[?&]delete"))


def test_a_member_registers_and_removes_nothing(bucket: Proxied, tmp_path: Path) -> None:
    """Without the right to remove, registering, moving, pushing and loading work; erasing is refused by name."""
    deny(bucket, *ERASING)
    big = np.random.default_rng(1).standard_normal(3 << 20)
    with opened(bucket) as member:
        member.register_model({"w": 2}, "m", "2.0.0", serializer="json", tags=["t"])
        member.register_model(big, "big", serializer="numpy")
        member.promote("m:2.0.0")
        member.log_metrics("m:2.0.0", {"auc": 0.5})
        member.delete_model("m", "1.0.0")
        member.restore_model("m")
        assert np.array_equal(big, member.load_model("big"))
        member.delete_model("big")
        with pytest.raises(StorageError, match="denies access") as caught:
            member.gc(grace=0)
        assert re.search("removing (s3:DeleteObject|Storage Object User)", str(caught.value.hint))
    with ModelRegistry(tmp_path / "mine", plugins=Plugins(())) as mine:
        mine.register_model({"w": 3}, "m", "3.0.0", serializer="json")
        mine.add_remote("team", bucket.url, bucket.options, where="local")
        probed = mine.probe_remote("team")
        assert probed is not None
        assert (True, True, True) == (probed.readable, probed.writable, probed.exclusive)
        assert "cannot be removed" in probed.reason
        mine.pull("team")
        assert {"w": 1} == mine.load_model("m:1.0.0")
        assert not mine.push("team").rejected
    with opened(bucket.direct) as owner:
        assert {"w": 3} == owner.load_model("m:3.0.0")
        assert [] == owner.fsck()


def test_every_write_of_a_member_is_conditional(bucket: Proxied) -> None:
    """No request could replace what is there, so a policy may ask for the condition and a role may lack replacing."""
    bucket.proxy.forget()
    with opened(bucket) as member:
        member.register_model(np.random.default_rng(2).standard_normal(6 << 20), "big", serializer="numpy")
        member.promote("m:1.0.0", "x")
    writes = [each for each in bucket.proxy.requests if each.method in ("PUT", "POST")]
    assert writes
    for each in writes:
        begins = each.query.startswith("uploads") or "partNumber=" in each.query or "upload_id=" in each.query
        conditional = each.headers.get("if-none-match") == "*" or "ifGenerationMatch=0" in each.query
        assert begins or conditional, (each.method, each.path, each.query)
    assert 0 == bucket.proxy.count("DELETE")


def test_a_reader_reads(bucket: Proxied, tmp_path: Path) -> None:
    """With the right to read alone, listing, loading, cloning and checking work; what writes is one error."""
    deny(bucket, ("PUT", ""), ("POST", ""), ("DELETE", ""))
    with opened(bucket) as reader:
        assert {"w": 1} == reader.load_model("m@production")
        assert ["m"] == reader.model_names()
        assert [] == reader.fsck()
        assert () == reader.verify_log().problems
        with pytest.raises(StorageError, match="denies access") as caught:
            reader.add_tag("m:1.0.0", "x")
        assert re.search("writing (s3:PutObject|Storage Object Creator)", str(caught.value.hint))
    with ModelRegistry.clone(
        bucket.url, tmp_path / "clone", plugins=Plugins(()), remote_options=bucket.options
    ) as clone:
        assert {"w": 1} == clone.load_model("m")
        clone.add_tag("m:1.0.0", "x")
        with pytest.raises(StorageError, match="denies access"):
            clone.push()


def test_the_policy_in_the_readme() -> None:
    """It is JSON, gives no right to remove, and asks for the condition on every write but the parts of one."""
    [text] = re.findall(r"<!-- policy -->\n```json\n(.*?)```", README.read_text(), re.DOTALL)
    allow, members, condition = json.loads(text)["Statement"]
    assert ("Allow", "Allow", "Deny") == (allow["Effect"], members["Effect"], condition["Effect"])
    assert not [each for each in allow["Action"] + members["Action"] if "Delete" in each]
    assert {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}} == condition[
        "Condition"
    ]
