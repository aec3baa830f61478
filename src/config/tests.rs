//! Settings from files, variables and flags, and every way to get them wrong.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

mod access;
mod printed;

const GOOD: &str = "x9$Lq2!vRt7^mWz4kJ8#nB5&pD1*fG6y";
const OTHER: &str = "Tz0pQy8Wc3-Lm5Rk7Vb1Nd9Xf2Hj4Gs6a";

/// Sources of a directory of its own, so that nothing of this machine gets in.
struct Given {
    dir: TempDir,
    sources: Sources,
}

fn given(toml: &str) -> Given {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("sojourn.toml");
    fs::write(&path, toml).expect("writes");
    Given { sources: Sources { file: File::IfPresent(path), environment: Vec::new(), flags: Vec::new() }, dir }
}

impl Given {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, key: &'static str, value: &str, flag: &'static str) -> Self {
        self.sources.flags.push((key, value.into(), flag));
        self
    }

    fn load(&self) -> Config {
        Config::load(&self.sources).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn print(&self) -> String {
        Settings::gather(&self.sources).and_then(|s| s.to_toml()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What is wrong, with the temporary directory left out.
    fn wrong(&self) -> String {
        let problems = Config::load(&self.sources).expect_err("something is wrong");
        problems.to_string().replace(&format!("{}/", self.dir.path().display()), "")
    }
}

#[test]
fn nothing_given_is_the_defaults() {
    let config = given("").load();
    assert_eq!(config.data, PathBuf::from("data/node"));
    assert_eq!(config.public_url.to_string(), "http://localhost:3000");
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.sessions.idle, Duration::from_secs(3_600));
    assert_eq!(config.sessions.remember, Duration::from_secs(30 * 86_400));
    assert_eq!(config.sessions.memory_max, 512 << 20);
    assert_eq!(config.sessions.per_user_max, 100);
    assert_eq!(config.users.signup, SignupPolicy::Open);
    assert_eq!(config.users.password_min, 8);
    assert_eq!(config.cluster.max_staleness, Duration::from_secs(1));
    assert_eq!(config.metrics.listen.map(|a| a.port()), Some(3002));
    assert!(config.secret.is_none() && config.sessions.secrets.is_empty() && config.web.tls.is_none());
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let file = "data = \"a\"\n[web]\nlisten = \"127.0.0.1:1\"\n[sessions]\nidle = \"1m\"\nprefix = \"s:\"";
    let given = given(file)
        .env("SOJOURN_SESSIONS_IDLE", "2m")
        .env("SOJOURN_DATA", "b")
        .env("IDLE", "9m")
        .flag("data", "c", "--data");
    let config = given.load();
    assert_eq!(config.data, PathBuf::from("c"));
    assert_eq!(config.sessions.idle, Duration::from_secs(120));
    assert_eq!(config.web.listen.port(), 1);
    assert_eq!(config.sessions.prefix, "s:");
}

#[test]
fn the_environment_gives_lists_by_comma_and_numbers_and_flags() {
    let config = given("[web]\ntrusted_proxies = [\"10.0.0.0/8\"]")
        .env("SOJOURN_WEB_TRUSTED_PROXIES", "192.168.1.7/24, ::1")
        .env("SOJOURN_WEB_REDIRECT_DOMAINS", "")
        .env("SOJOURN_SESSIONS_PER_USER_MAX", "7")
        .env("SOJOURN_USERS_AUTO_APPROVE", "true")
        .env("SOJOURN_USERS_SIGNUP", "invite")
        .env("SOJOURN_METRICS_LISTEN", "")
        .load();
    let nets: Vec<String> = config.web.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["192.168.1.0/24", "::1/128"]);
    assert!(config.web.redirect_domains.is_empty());
    assert_eq!((config.sessions.per_user_max, config.users.auto_approve), (7, true));
    assert_eq!((config.users.signup, config.metrics.listen), (SignupPolicy::Invite, None));
}

#[test]
fn secrets_come_from_files_too() {
    let given = given("");
    let path = given.dir.path().join("secrets");
    fs::write(&path, format!("{GOOD}\n{OTHER}\n")).expect("writes");
    let config = given
        .env("SOJOURN_SESSIONS_SECRETS_FILE", &path.display().to_string())
        .env("SOJOURN_SECRET", "kV3-9dTq0wZ!e7Xs2Rb5Uy8Io1Pa4Lmn6")
        .load();
    let texts: Vec<&str> = config.sessions.secrets.iter().map(Secret::expose).collect();
    assert_eq!(texts, [GOOD, OTHER]);
    assert!(config.secret.is_some());
}

#[test]
fn a_secret_and_its_file_at_once_and_a_missing_file_are_refused() {
    let given = given("").env("SOJOURN_SECRET", GOOD).env("SOJOURN_SECRET_FILE", "/nowhere/secret");
    insta::assert_snapshot!(given.wrong(), @"
    SOJOURN_SECRET and SOJOURN_SECRET_FILE are both set (from the environment)
      hint: unset one of them
    cannot read /nowhere/secret (from SOJOURN_SECRET_FILE): No such file or directory (os error 2)
      hint: the variable holds the path of a file that this user may read
    ");
}

#[test]
fn unknown_keys_are_named_all_at_once_with_the_nearest_known_one() {
    let file = "dta = 'x'\nweb = 3\nlisten = '127.0.0.1:1'\n[session]\nidle = '1h'\n[sessions]\nlifetme = '1h'\n[zq]\n";
    let given = given(file)
        .env("SOJOURN_SESSION_IDLE", "30m")
        .env("SOJOURN_WEB_LISTEN_FILE", "/x")
        .env("SOJOURN_XYZZY_PLUGH_FROTZ_GNUSTO_REZROV", "1");
    insta::assert_snapshot!(given.wrong(), @"
    unknown setting dta (from sojourn.toml)
      hint: did you mean data? `sojourn config print` shows all settings
    unknown setting listen (from sojourn.toml)
      hint: did you mean web.listen? `sojourn config print` shows all settings
    unknown setting session.idle (from sojourn.toml)
      hint: did you mean sessions.idle? `sojourn config print` shows all settings
    unknown setting sessions.lifetme (from sojourn.toml)
      hint: did you mean sessions.lifetime? `sojourn config print` shows all settings
    web (from sojourn.toml) is a section, not a setting
      hint: write [web] and its settings below
    unknown setting zq (from sojourn.toml)
      hint: `sojourn config print` shows all settings
    unknown setting SOJOURN_SESSION_IDLE (from the environment)
      hint: did you mean SOJOURN_SESSIONS_IDLE? unset SOJOURN_SESSION_IDLE otherwise
    unknown setting SOJOURN_WEB_LISTEN_FILE (from the environment)
      hint: only secrets are read from files: set SOJOURN_WEB_LISTEN instead
    unknown setting SOJOURN_XYZZY_PLUGH_FROTZ_GNUSTO_REZROV (from the environment)
      hint: unset SOJOURN_XYZZY_PLUGH_FROTZ_GNUSTO_REZROV; `sojourn config print` shows all settings
    ");
}

#[test]
fn variables_that_kubernetes_sets_are_no_settings() {
    given("")
        .env("SOJOURN_SERVICE_HOST", "10.0.0.1")
        .env("SOJOURN_SERVICE_PORT_HTTP", "3000")
        .env("SOJOURN_PORT", "tcp://10.0.0.1:3000")
        .env("SOJOURN_PORT_3000_TCP_ADDR", "10.0.0.1")
        .env("SOJOURN_WEB_PORT_3000_TCP", "tcp://10.0.0.1:3000")
        .env("SOJOURN_LOG", "debug")
        .load();
    assert!(given("").env("SOJOURN_PORT", "3000").wrong().contains("unknown setting SOJOURN_PORT"));
}

#[test]
fn wrong_values_are_named_with_their_source_and_what_is_allowed() {
    let file = r#"
        data = 7
        secret = "hunter2"
        public_url = "id.example.com"
        [web]
        listen = ":3000"
        trusted_proxies = ["0.0.0.0/0"]
        redirect_domains = "app.example.com"
        [cluster]
        max_staleness = "1ms"
        [sessions]
        cookie = "a b"
        domain = "localhost"
        secrets = ["keyboard cat"]
        idle = 3600
        remember = "forever"
        prefix = ""
        per_user_max = "5"
        memory_max = "512MB"
        [users]
        password_min = 4
        auto_approve = "true"
    "#;
    let given = given(file).env("SOJOURN_USERS_SIGNUP", "opne").env("SOJOURN_METRICS_LISTEN", "3002");
    let wrong = given.wrong();
    assert!(!wrong.contains("hunter2") && !wrong.contains("keyboard cat"), "{wrong}");
    insta::assert_snapshot!(wrong, @r#"
    data = 7 (from sojourn.toml) is not the path of a file or directory
      hint: put it in quotes: "7"
    secret = (hidden) (from sojourn.toml) is not a secret of at least 32 bytes
      hint: it has 7 bytes, and 32 are the least; make one with `head -c 33 /dev/urandom | base64`
    public_url = "id.example.com" (from sojourn.toml) is not an origin such as "https://id.example.com" (http or https, no path)
      hint: write "https://id.example.com"
    web.listen = ":3000" (from sojourn.toml) is not an address with a port, such as "127.0.0.1:3000"
      hint: write "0.0.0.0:3000" to listen on every address
    web.trusted_proxies = ["0.0.0.0/0"] (from sojourn.toml) is not a list of networks such as ["10.0.0.0/8", "fd00::/8"]
      hint: "0.0.0.0/0" is everybody, who could then claim any address; name the proxy's own network
    web.redirect_domains = "app.example.com" (from sojourn.toml) is not a list of hosts such as ["app.example.com", ".example.org"]
      hint: put brackets around it: ["…"]
    cluster.max_staleness = "1ms" (from sojourn.toml) is not a duration from 100ms to 1m, such as "30m" or "1h30m"
      hint: the default is "1s"
    sessions.cookie = "a b" (from sojourn.toml) is not "auto" or a cookie name (letters, digits, "-", "_", ".")
      hint: the default is "auto"
    sessions.domain = "localhost" (from sojourn.toml) is not a domain such as "example.com", or "" for none
      hint: browsers refuse a cookie for a name without a dot
    sessions.secrets = (hidden) (from sojourn.toml) is not a list of secrets of at least 32 bytes each
      hint: it is a well-known example, or repeats itself; make one with `head -c 33 /dev/urandom | base64`
    sessions.idle = 3600 (from sojourn.toml) is not a duration from 1s to 400d, such as "30m" or "1h30m"
      hint: give the number a unit: "3600s"
    sessions.remember = "forever" (from sojourn.toml) is not a duration from 1s to 400d, such as "30m" or "1h30m"
      hint: the default is "30d"
    sessions.prefix = "" (from sojourn.toml) is not 1 to 64 printable ASCII characters
      hint: the default is "sess:"
    sessions.per_user_max = "5" (from sojourn.toml) is not a whole number from 1 to 10000
      hint: write it without quotes: 5
    sessions.memory_max = "512MB" (from sojourn.toml) is not a size from 1MiB to 1TiB, such as "512MiB"
      hint: write "512MiB"
    users.signup = "opne" (from SOJOURN_USERS_SIGNUP) is not one of "open", "invite", "closed"
      hint: did you mean "open"?
    users.password_min = 4 (from sojourn.toml) is not a whole number from 8 to 64
      hint: the default is 8
    users.auto_approve = "true" (from sojourn.toml) is not true or false
      hint: write it without quotes: true
    metrics.listen = "3002" (from SOJOURN_METRICS_LISTEN) is not an address with a port, such as "127.0.0.1:3002", or "" for off
      hint: write "127.0.0.1:3002"
    "#);
}

#[test]
fn the_whole_internet_is_never_a_trusted_proxy() {
    for everybody in ["0.0.0.0/0", "::/0", "10.0.0.0/8,::/0", "1.2.3.4/0"] {
        let wrong = given("").env("SOJOURN_WEB_TRUSTED_PROXIES", everybody).wrong();
        assert!(wrong.contains("is everybody, who could then claim any address"), "{wrong}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let wrong = |toml: &str| given(toml).wrong();
    insta::assert_snapshot!(wrong("[sessions]\nidle = \"48h\""), @r#"
    sessions.idle = "2d" is longer than sessions.lifetime = "1d"
      hint: lower sessions.idle, or raise sessions.lifetime to at least "2d"
    "#);
    insta::assert_snapshot!(wrong("[sessions]\nlifetime = \"90d\""), @r#"
    sessions.lifetime = "90d" is longer than sessions.remember = "30d"
      hint: lower sessions.lifetime, or raise sessions.remember to at least "90d"
    "#);
    insta::assert_snapshot!(wrong("[sessions]\ncookie = \"__Host-sid\""), @r#"
    sessions.cookie = "__Host-sid" needs https, and public_url = "http://localhost:3000" is http
      hint: browsers would drop the cookie: take "auto", or an https public_url
    "#);
    let host = "public_url = \"https://id.example.com\"\n[sessions]\ncookie = \"__Host-sid\"\ndomain = \"example.com\"";
    insta::assert_snapshot!(wrong(host), @r#"
    sessions.cookie = "__Host-sid" belongs to one host, and sessions.domain = "example.com" is set
      hint: browsers would drop the cookie: take "auto", or leave sessions.domain empty
    "#);
    let other = "public_url = \"https://id.notexample.com\"\n[sessions]\ndomain = \"example.com\"";
    insta::assert_snapshot!(wrong(other), @r#"
    sessions.domain = "example.com" does not hold the host of public_url = "https://id.notexample.com"
      hint: browsers would drop the cookie: "id.notexample.com" must be that domain or end in ".example.com"
    "#);
    insta::assert_snapshot!(wrong("[web]\ntls_key = \"k.pem\""), @"
    web.tls_key (from sojourn.toml) is set and web.tls_cert is not
      hint: TLS needs both
    ");
    let http = "public_url = \"http://id.example.com\"\n[web]\ntls_key = \"k.pem\"\ntls_cert = \"c.pem\"";
    insta::assert_snapshot!(wrong(http), @r#"
    public_url = "http://id.example.com" is http, and web.tls_cert makes the door speak https
      hint: browsers must reach it by https: change public_url
    "#);
    insta::assert_snapshot!(wrong("[metrics]\nlisten = \"127.0.0.1:3000\""), @r#"
    metrics.listen and web.listen are both "127.0.0.1:3000"
      hint: metrics have a listener of their own; "" turns it off
    "#);
    insta::assert_snapshot!(wrong("[cluster]\nlisten = \"127.0.0.1:3000\""), @r#"
    cluster.listen and web.listen are both "127.0.0.1:3000"
      hint: nodes speak to each other at an address of their own; "" turns it off
    "#);
    insta::assert_snapshot!(wrong("[cluster]\nlisten = \"0.0.0.0:3001\""), @r#"
    cluster.listen = "0.0.0.0:3001" is every address, and cluster.advertise is empty
      hint: say where other nodes reach this one: cluster.advertise = "HOST:PORT"
    "#);
    insta::assert_snapshot!(wrong("data = \"\""), @r#"
    data is empty
      hint: name the directory that holds everything: data = "data/node"
    "#);
    insta::assert_snapshot!(wrong(&format!("secret = '{GOOD}'\n[sessions]\nsecrets = ['{GOOD}']")), @"
    sessions.secrets holds the cluster's own secret
      hint: apps may hold cookie secrets, which must not let them join the cluster: make another
    ");
}

#[test]
fn a_file_that_is_named_must_exist_and_be_toml() {
    let mut missing = given("");
    missing.sources.file = File::Named(missing.dir.path().join("other.toml"));
    insta::assert_snapshot!(missing.wrong(), @"
    cannot read other.toml: No such file or directory (os error 2)
      hint: --config names the file with settings
    ");
    insta::assert_snapshot!(given("[sessions]\nidle = 30m").wrong(), @r#"
    sojourn.toml is not TOML: line 2: expected newline, `#`
      hint: texts stand in quotes: idle = "30m"
    "#);
    let wrong = given("secret = hunter2hunter2").wrong();
    assert!(wrong.contains("line 1") && !wrong.contains("hunter2"), "{wrong}");
}

#[test]
fn the_cookie_is_named_by_scheme_and_domain() {
    let name = |toml: &str| given(toml).load().cookie_name().to_owned();
    assert_eq!(name(""), "sojourn");
    assert_eq!(name("public_url = \"https://id.example.com\""), "__Host-sojourn");
    let domain = "[sessions]\ndomain = \".Example.com\"";
    assert_eq!(name(&format!("public_url = \"https://id.example.com\"\n{domain}")), "__Secure-sojourn");
    assert_eq!(name(&format!("public_url = \"http://id.example.com\"\n{domain}")), "sojourn");
    assert_eq!(name("[sessions]\ncookie = \"connect.sid\""), "connect.sid");
}

#[test]
fn a_public_url_that_nobody_set_follows_the_listener() {
    let mut config = given("[web]\nlisten = \"127.0.0.1:0\"").load();
    config.listening_on("127.0.0.1:4711".parse().expect("an address"));
    assert_eq!(config.public_url.to_string(), "http://localhost:4711");
    assert_eq!(given("[web]\nlisten = \"192.168.1.5:80\"").load().public_url.to_string(), "http://192.168.1.5");
    let tls = "[web]\nlisten = \"127.0.0.1:0\"\ntls_cert = \"c.pem\"\ntls_key = \"k.pem\"";
    assert!(given(tls).load().public_url.is_https(), "before the port is known, too");
    let tls = "[web]\nlisten = \"0.0.0.0:8443\"\ntls_cert = \"c.pem\"\ntls_key = \"k.pem\"";
    assert_eq!(given(tls).load().public_url.to_string(), "https://localhost:8443");
    let mut said = given("public_url = \"http://localhost:3000\"\n[web]\nlisten = \"127.0.0.1:0\"").load();
    said.listening_on("127.0.0.1:4711".parse().expect("an address"));
    assert_eq!(said.public_url.to_string(), "http://localhost:3000");
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let first = given("public_url = \"https://id.example.com\"\n[users]\nsignup = \"closed\"\npassword_min = 15")
        .env("SOJOURN_WEB_TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8")
        .env("SOJOURN_SESSIONS_PREFIX", "a\"b\\c:");
    let unset = given("[web]\nlisten = \"127.0.0.1:4000\"");
    for first in [first, unset] {
        let printed = first.print();
        let second = given(&printed);
        assert_eq!(second.print(), printed);
        assert_eq!(format!("{:?}", second.load()), format!("{:?}", first.load()));
    }
}

#[test]
fn secrets_are_printed_nowhere() {
    let given = given("").env("SOJOURN_SECRET", GOOD).env("SOJOURN_SESSIONS_SECRETS", OTHER);
    let settings = Settings::gather(&given.sources).expect("gathers");
    let rows = serde_json::to_string(&settings.to_rows().expect("is right")).expect("serialises");
    let toml = settings.to_toml().expect("is right");
    let debug = format!("{:?}", settings.config().expect("is right"));
    for shown in [&rows, &toml, &debug] {
        assert!(!shown.contains(GOOD) && !shown.contains(OTHER), "{shown}");
    }
    assert!(toml.contains("# secret is set by SOJOURN_SECRET, and hidden"), "{toml}");
}

#[test]
fn every_default_is_allowed_and_every_setting_is_read() {
    let read_by = include_str!("mod.rs");
    for setting in table::SETTINGS {
        assert!(read_by.contains(&format!("\"{}\"", setting.key)), "{} is read nowhere", setting.key);
    }
}
