from proxy.core.caching.policy import CachePolicy, Scope


def test_nothing_set_means_only_what_http_allows() -> None:
    policy = CachePolicy()
    assert policy.enabled
    assert policy.scope is Scope.CREDENTIAL
    assert (policy.default_ttl, policy.override_ttl, dict(policy.negative_ttl)) == (0.0, None, {})
    assert policy.methods == {"GET", "HEAD"}
