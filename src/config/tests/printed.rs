//! Printed: what `config print` shows, word for word.

use super::*;

#[test]
fn every_setting_is_printed_with_meaning_and_default() {
    insta::assert_snapshot!(given("").print(), @r#"
    # directory that holds everything this node remembers (default: "data/node")
    data = "data/node"
    # the cluster's secret; empty: made on first start and kept in the data directory (default: "")
    secret = ""
    # where browsers reach the cluster; unset, it follows web.listen (default: "http://localhost:3000")
    # public_url = "http://localhost:3000"
    # who may pass forward-auth: [[access]] with host, path, methods, groups, public; the most specific decides; on a host that is named, nobody else passes; elsewhere every approved person (default: [])
    # access = []

    [web]
    # address of the HTTP door; port 0 takes a free one (default: "127.0.0.1:3000")
    listen = "127.0.0.1:3000"
    # networks whose X-Forwarded-* headers are believed; nobody else's are (default: [])
    trusted_proxies = []
    # hosts that rd and next may point to besides public_url; ".example.com" allows its subdomains (default: [])
    redirect_domains = []
    # PEM file with the certificate chain; together with tls_key the HTTP door speaks TLS (default: "")
    tls_cert = ""
    # PEM file with the certificate's private key (default: "")
    tls_key = ""

    [cluster]
    # address where other nodes reach this one; empty: off, and the node stays alone (default: "127.0.0.1:3001")
    listen = "127.0.0.1:3001"
    # host:port that other nodes are told; empty: where cluster.listen listens (default: "")
    advertise = ""
    # the longest that a revoked session may still be honoured anywhere (default: "1s")
    max_staleness = "1s"
    # a node that no leader answers honours sessions this much longer; so long may revoked ones live there, too (default: "0s")
    stale_reads = "0s"

    [redis]
    # address of the Redis door, where apps keep their sessions; empty: off (default: "")
    listen = ""
    # password of the Redis user "default", who sees everything; empty: everybody on this machine does, if it listens there alone (default: "")
    password = ""
    # how long no late write revives a session of express-session that an app deleted; 0s: it may at once (default: "10s")
    delete_guard = "10s"
    # fresh: a read sees every write acknowledged before it, anywhere; local: it may be cluster.max_staleness old, and asks nobody (default: "fresh")
    reads = "fresh"
    # PEM file with the certificate chain; together with tls_key the Redis door speaks TLS (default: "")
    tls_cert = ""
    # PEM file with the certificate's private key (default: "")
    tls_key = ""

    [sessions]
    # the session cookie; auto: __Host-sojourn on https, __Secure-sojourn with a domain, else sojourn (default: "auto")
    cookie = "auto"
    # domain whose hosts all receive the session cookie; empty: only the host of public_url (default: "")
    domain = ""
    # cookie secrets: the first signs, all verify; empty: one is made on first start (default: [])
    secrets = []
    # a session nobody uses ends after this long, or up to a tenth of it (a minute at most) later; remembered ones have no idle timeout (default: "1h")
    idle = "1h"
    # a session ends after this long, however much it is used (default: "24h")
    lifetime = "24h"
    # sessions.lifetime of those whose owner ticked "remember me"; it ends them, used or not (default: "30d")
    remember = "30d"
    # what the keys of sessions begin with, as apps know them (default: "sess:")
    prefix = "sess:"
    # most live sessions of one user; one more ends the oldest (default: 100)
    per_user_max = 100
    # memory for sessions and other entries; when it is full, new ones are refused and live ones kept (default: "512MiB")
    memory_max = "512MiB"

    [users]
    # who may make an account: everybody, people with a link, nobody (default: "open")
    signup = "open"
    # fewest characters of a password (default: 8)
    password_min = 8
    # whether people who signed themselves up may pass forward-auth before an admin approves them (default: false)
    auto_approve = false

    [metrics]
    # address of the Prometheus listener; empty: off (default: "127.0.0.1:3002")
    listen = "127.0.0.1:3002"
    "#);
}
