"""What a key may use in a minute, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.access.keys import Key
from server.access.quota import Bucket, Quota, duration
from server.errors import APIError


@dataclass
class Part:
    tokens_used: int
    tokens_allowed: int


def key(requests: int | None = None, tokens: int | None = None, concurrency: int | None = None) -> Key:
    return Key(name="k", sha256="00", requests_per_minute=requests, tokens_per_minute=tokens, concurrency=concurrency)


def test_requests_per_minute() -> None:
    quota = Quota(key(requests=3), 0.0)
    for _ in range(3):
        quota.begin(0.0)
    with pytest.raises(APIError) as caught:
        quota.begin(0.0)
    error = caught.value
    assert (error.status, error.kind, error.code) == (429, "requests", "rate_limit_exceeded")
    assert error.message == (
        "Rate limit reached for the key 'k' on requests per min (RPM): Limit 3, Used 3, Requested 1. "
        "Please try again in 20s."
    )
    assert error.headers == {"Retry-After": "20", "retry-after-ms": "20000"}
    with pytest.raises(APIError):
        quota.begin(19.9)
    quota.begin(20.0)  # and as late as was said it works


def test_headers() -> None:
    quota = Quota(key(requests=60, tokens=600), 0.0)
    quota.begin(0.0)
    quota.reserve([Part(10, 61)], 61, 0.0)
    assert quota.headers(0.5) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "500ms",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "544",
        "x-ratelimit-reset-tokens": "5.6s",
    }
    assert Quota(key(concurrency=1), 0.0).headers(0.0) == {}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.0166, "17ms"), (1, "1s"), (8.64, "8.64s"), (60, "1m0s"), (90.5, "1m30.5s")]
)
def test_durations_are_go_s(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_tokens_are_reserved_and_settled() -> None:
    quota = Quota(key(tokens=100), 0.0)
    part = Part(10, 90)
    quota.begin(0.0)
    reservation = quota.reserve([part], 90, 0.0)
    with pytest.raises(APIError) as caught:
        quota.reserve([Part(11, 11)], 11, 0.0)
    assert caught.value.kind == "tokens" and "Limit 100, Used 90, Requested 11" in caught.value.message
    part.tokens_used = 20
    quota.end(reservation, 0.0)
    assert quota.headers(0.0)["x-ratelimit-remaining-tokens"] == "80"


def test_what_can_never_fit_is_not_worth_another_try() -> None:
    quota = Quota(key(tokens=100), 0.0)
    with pytest.raises(APIError) as caught:
        quota.reserve([Part(1, 101)], 101, 0.0)
    assert caught.value.message.startswith("Request too large")
    assert caught.value.headers == {"x-should-retry": "false"}


def test_a_request_without_a_limit_counts_as_it_grows() -> None:
    quota = Quota(key(tokens=100), 0.0)
    part = Part(10, 10_000)
    quota.begin(0.0)
    reservation = quota.reserve([part], 10, 0.0)
    part.tokens_used = 150
    with pytest.raises(APIError):
        quota.reserve([Part(1, 1)], 1, 0.0)
    assert quota.headers(0.0)["x-ratelimit-remaining-tokens"] == "0"
    quota.end(reservation, 0.0)
    with pytest.raises(APIError) as caught:
        quota.reserve([Part(1, 1)], 1, 0.0)
    assert caught.value.headers["retry-after-ms"] == "30600"  # the debt of 50, and one token more


def test_concurrency() -> None:
    quota = Quota(key(concurrency=2), 0.0)
    quota.begin(0.0)
    quota.begin(0.0)
    with pytest.raises(APIError) as caught:
        quota.begin(0.0)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")
    quota.end(None, 0.0)
    quota.begin(0.0)


def test_new_limits_forget_nothing() -> None:
    quota = Quota(key(requests=10, tokens=100), 0.0)
    for _ in range(8):
        quota.begin(0.0)
    quota.renew(key(requests=20), 0.0)
    assert quota.headers(0.0)["x-ratelimit-remaining-requests"] == "12"
    assert "x-ratelimit-limit-tokens" not in quota.headers(0.0)
    quota.renew(key(requests=5, tokens=50), 0.0)
    with pytest.raises(APIError):
        quota.begin(0.0)
    assert quota.headers(0.0)["x-ratelimit-remaining-tokens"] == "50"


def test_the_token_limit_goes_while_a_request_runs() -> None:
    quota = Quota(key(tokens=100), 0.0)
    quota.begin(0.0)
    reservation = quota.reserve([Part(1, 50)], 50, 0.0)
    quota.renew(key(), 0.0)
    quota.end(reservation, 0.0)


@given(st.integers(1, 1000), st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1000)), max_size=30))
def test_a_bucket_gives_no_more_than_its_size_and_what_flows_in(size: int, asked: list[tuple[float, int]]) -> None:
    bucket = Bucket(size, 0.0)
    now, given_away = 0.0, 0
    for wait, amount in asked:
        now += wait
        if amount <= bucket.level(now):
            bucket.take(amount, now)
            given_away += amount
        assert 0 <= bucket.level(now) <= size
        assert given_away <= size + now * size / 60 + 1e-6
