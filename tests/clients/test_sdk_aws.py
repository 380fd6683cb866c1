"""Does boto3 meet through the proxy what it would meet at AWS, although the proxy signs in its place?

moto stands for AWS, and verifies each signature.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from tests.clients.vendors import NOBODY
from tests.running import Leeward

ONCE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[str, dict[str, str]]]:
    """moto's server, which trusts one user's keys, and these."""
    os.environ["MOTO_ALLOW_NONEXISTENT_REGION"] = "true"
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    iam = client("iam", url, "setup", "setup")
    iam.create_user(UserName="app")
    iam.put_user_policy(UserName="app", PolicyName="all", PolicyDocument=json.dumps(ANYTHING))
    made = iam.create_access_key(UserName="app")["AccessKey"]
    # From here on every call has to be signed by such a user.
    plain = {"Content-Type": "text/plain"}
    asked = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain)
    urllib.request.urlopen(asked, timeout=10).close()
    keys = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
    yield url, keys
    server.stop()


def client(service: str, url: str, key: str = "unused", secret: str = "unused", **more: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        **{"config": ONCE, **more},
    )


@pytest.fixture(scope="module")
def proxy(leeward: Any, aws: tuple[str, dict[str, str]]) -> Leeward:
    url, keys = aws
    upstreams: dict[str, Any] = {
        service: {"preset": "aws", "base_url": url, "auth": {"service": service, "region": "eu-west-1"}}
        for service in ("s3", "sqs")
    }
    wrong = {"access_key_id": keys["AWS_ACCESS_KEY_ID"], "secret_access_key": "not-the-secret"}
    upstreams["wrong"] = {**upstreams["sqs"], "auth": {**upstreams["sqs"]["auth"], **wrong}}
    upstreams["gone"] = {**upstreams["sqs"], "base_url": f"http://127.0.0.1:{NOBODY}"}
    upstreams["away"] = {**upstreams["s3"], "base_url": f"http://127.0.0.1:{NOBODY}"}
    started: Leeward = leeward({"upstreams": upstreams}, env=keys)
    return started


def test_without_the_proxy_such_keys_are_refused(aws):
    with pytest.raises(ClientError) as raised:
        client("sqs", aws[0]).list_queues()
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_calls_in_json(proxy):
    sqs = client("sqs", f"{proxy.base}/sqs")
    made = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    assert made.endswith("/jobs")
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName="none")


def test_objects_up_and_down(proxy):
    s3 = client("s3", f"{proxy.base}/s3")
    s3.create_bucket(Bucket="box", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    data = os.urandom(300_000)
    s3.put_object(Bucket="box", Key="a b/ü&=.bin", Body=data)
    body = s3.get_object(Bucket="box", Key="a b/ü&=.bin")["Body"]
    assert b"".join(body.iter_chunks(64 * 1024)) == data
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="box", Prefix="a b")["Contents"]] == [
        "a b/ü&=.bin"
    ]
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="box", Key="none")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="no-such-box")


def test_a_wrong_secret_is_the_sdk_s_own_failure(proxy):
    with pytest.raises(ClientError) as raised:
        client("sqs", f"{proxy.base}/wrong").list_queues()
    told = raised.value.response["ResponseMetadata"]
    assert (told["HTTPStatusCode"], told["HTTPHeaders"]["leeward-error"]) == (403, "authentication")


@pytest.mark.parametrize(("service", "prefix"), [("sqs", "gone"), ("s3", "away")])
def test_a_failure_of_ours_is_the_sdk_s_own_as_well(proxy, service, prefix):
    made = client(service, f"{proxy.base}/{prefix}")
    call = made.list_queues if service == "sqs" else made.list_buckets
    with pytest.raises(ClientError) as raised:
        call()
    response = raised.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 502
    assert response["Error"]["Code"] == "ServiceUnavailable"
    assert response["Error"]["Message"]


def test_calls_of_a_dead_vendor_stay_within_the_budget(leeward, origin):
    origin.on("/").reply(
        503, b"<Error><Code>InternalError</Code></Error>", [("Content-Type", "application/xml")]
    )
    auth = {
        "service": "s3",
        "region": "eu-west-1",
        "access_key_id": "AKID",
        "secret_access_key": "secret-key",
    }
    budget = {"budget": {"ratio": 0.2, "min_per_second": 0.1}}
    upstream = {"preset": "aws", "base_url": origin.url, "auth": auth, "retry": budget}
    proxy = leeward({"upstreams": {"s3": upstream}})
    twice = ONCE.merge(Config(retries={"total_max_attempts": 2, "mode": "standard"}))
    s3 = client("s3", f"{proxy.base}/s3", config=twice)
    for _ in range(5):
        with pytest.raises(ClientError) as raised:
            s3.list_buckets()
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    # boto3 cannot be told to leave it: ten sendings of its own, half of them repetitions, and two of ours.
    assert 10 <= origin.count("/") <= 12
