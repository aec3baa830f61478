//! Who passes where: single cases, and what holds for all rules and all spellings.

use proptest::prelude::*;

use super::*;
use crate::state::Memo;

fn user(groups: &[&str]) -> User {
    User {
        id: "u1".into(),
        email: "ada@example.com".into(),
        first_name: String::new(),
        last_name: String::new(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        created_at: 0,
        admin: false,
        approved: true,
        verified: true,
        disabled: false,
        shown: Memo::default(),
    }
}

fn rule(host: &str, path: &str, methods: &[&str], groups: &[&str]) -> AccessRule {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let host = match host.strip_prefix('*') {
        Some(domain) => HostPattern::Below(domain.to_owned()),
        None => HostPattern::Exact(host.to_owned()),
    };
    let public = groups == ["public"];
    let groups = if public { Vec::new() } else { texts(groups) };
    AccessRule { host, path: path.trim_end_matches('/').to_owned(), methods: texts(methods), groups, public }
}

fn rules() -> Vec<AccessRule> {
    vec![
        rule("app.example.com", "/", &[], &["staff"]),
        rule("app.example.com", "/admin", &[], &["admins"]),
        rule("app.example.com", "/admin/help", &[], &["public"]),
        rule("app.example.com", "/api", &["GET"], &[]),
        rule("app.example.com", "/api", &[], &["writers"]),
        rule("*.example.com", "/", &[], &["everywhere"]),
        rule("*.lab.example.com", "/open", &[], &["public"]),
        rule("narrow.example.org", "/only", &[], &[]),
    ]
}

/// What becomes of `GET host path` by somebody of these groups.
fn asked(rules: &[AccessRule], (method, host, path): (&str, &str, &str), who: Option<&User>) -> Verdict {
    match Target::read(host, path, Some(method)) {
        Ok(target) => verdict(&Rules::new(rules), &target, who),
        Err(ambiguous) => Verdict::Refused(ambiguous),
    }
}

fn get(host: &str, path: &str, groups: &[&str]) -> Verdict {
    asked(&rules(), ("GET", host, path), Some(&user(groups)))
}

#[test]
fn the_most_specific_rule_decides() {
    use Verdict::{Forbidden, Pass};
    for (host, path, groups, verdict) in [
        ("app.example.com", "/", &["staff"][..], Pass),
        ("app.example.com", "/", &["admins"], Forbidden),
        ("app.example.com", "/", &["everywhere"], Forbidden),
        ("app.example.com", "/admin", &["admins"], Pass),
        ("app.example.com", "/admin/", &["staff"], Forbidden),
        ("app.example.com", "/admin/x", &["staff"], Forbidden),
        ("app.example.com", "/administrator", &["staff"], Pass),
        ("app.example.com", "/admin/help/x", &[], Pass),
        ("app.example.com", "/ADMIN/x", &["staff"], Forbidden),
        ("app.example.com", "/api/x", &[], Pass),
        ("other.example.com", "/x", &["everywhere"], Pass),
        ("other.example.com", "/x", &["staff"], Forbidden),
        ("a.b.example.com", "/x", &["everywhere"], Pass),
        ("x.lab.example.com", "/open/y", &[], Pass),
        ("x.lab.example.com", "/y", &["everywhere"], Pass),
        ("x.lab.example.com", "/y", &[], Forbidden),
        ("narrow.example.org", "/only/this", &[], Pass),
        ("narrow.example.org", "/", &["staff", "admins"], Forbidden),
        ("example.com", "/", &[], Pass),
        ("unnamed.example.org", "/", &[], Pass),
    ] {
        assert_eq!(get(host, path, groups), verdict, "{host}{path} {groups:?}");
    }
    let post = |groups| asked(&rules(), ("POST", "app.example.com", "/api/x"), Some(&user(groups)));
    assert_eq!((post(&["writers"]), post(&["staff"])), (Pass, Forbidden));
}

#[test]
fn whoever_is_not_signed_in_or_waits_passes_public_rules_alone() {
    let waiting = User { approved: false, ..user(&["staff", "admins"]) };
    for (path, nobody, waits) in [
        ("/admin/help", Verdict::PassUnnamed, Verdict::PassUnnamed),
        ("/admin", Verdict::SignIn, Verdict::Waits),
        ("/", Verdict::SignIn, Verdict::Waits),
    ] {
        let request = ("GET", "app.example.com", path);
        assert_eq!(asked(&rules(), request, None), nobody, "{path}");
        assert_eq!(asked(&rules(), request, Some(&waiting)), waits, "{path}");
    }
    assert_eq!(asked(&rules(), ("GET", "unnamed.example.org", "/"), None), Verdict::SignIn);
    assert_eq!(asked(&rules(), ("GET", "narrow.example.org", "/"), None), Verdict::Forbidden);
    let disabled = User { disabled: true, ..user(&["staff"]) };
    assert_eq!(asked(&rules(), ("GET", "app.example.com", "/"), Some(&disabled)), Verdict::Waits);
}

#[test]
fn a_public_rule_opens_its_own_spelling_alone() {
    let (staff, waiting) = (user(&["staff"]), User { approved: false, ..user(&["staff"]) });
    for who in [None, Some(&staff), Some(&waiting)] {
        let asked = |path| asked(&rules(), ("GET", "app.example.com", path), who);
        assert_ne!(asked("/admin/help/X"), Verdict::Refused(Ambiguous::Path), "what lies below is the service's");
        assert_ne!(asked("/admin/h%65lp"), Verdict::Refused(Ambiguous::Path));
        for path in ["/Admin/help", "/admin/HELP", "/admin/hELp/x"] {
            assert_eq!(asked(path), Verdict::Refused(Ambiguous::Path), "{path}");
        }
    }
}

#[test]
fn one_host_has_one_form() {
    for host in
        ["app.example.com", "APP.Example.COM", "app.example.com.", "app.example.com:8443", "App.example.com.:80"]
    {
        assert_eq!(Target::read(host, "/", None).expect(host).host(), "app.example.com");
    }
    for form in ["[::1]:80", "[0:0:0:0:0:0:0:1]", "[0::0.0.0.1]", "[::0001]:8080"] {
        assert_eq!(Target::read(form, "/", None).expect("an address").host(), "[::1]", "{form}");
    }
    let rules = [rule("[2001:db8::a]", "/", &[], &["staff"])];
    let get = |host| asked(&rules, ("GET", host, "/"), Some(&user(&[])));
    assert_eq!((get("[2001:DB8:0::0A]"), get("[2001:db8::b]")), (Verdict::Forbidden, Verdict::Pass));
    for host in [
        "",
        ".",
        "a..b",
        ".a",
        "a..",
        "u@app.example.com",
        "app.example.com:",
        "app.example.com:x",
        "a b",
        "a/b",
        "a%2eb",
        "a,b",
        "app.example.com:80:80",
        "[::1",
        "[x]",
        "::1",
        "a\\b",
        "ä.example",
        "app.example.com:999999",
        "a?b",
        "a#b",
    ] {
        assert_eq!(Target::read(host, "/", None), Err(Ambiguous::Host), "{host}");
    }
}

#[test]
fn a_path_is_decoded_once() {
    for (raw, path) in [
        ("/", "/"),
        ("/%61dmin", "/admin"),
        ("/a%20b/", "/a b/"),
        ("/caf%C3%A9", "/café"),
        ("/100%25", "/100%"),
        ("/a+b", "/a+b"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a...b/...", "/a...b/..."),
    ] {
        assert_eq!(Target::read("a", raw, None).expect(raw).path(), path);
    }
}

#[test]
fn what_two_readers_could_take_for_two_paths_is_refused() {
    for path in [
        "",
        "admin",
        "*",
        "//",
        "//admin",
        "/x//admin",
        "/%2fadmin",
        "/x%2Fadmin",
        "/x%5cadmin",
        "/x\\admin",
        "/./admin",
        "/x/../admin",
        "/..",
        "/x/.",
        "/%2e%2e/admin",
        "/x/%2e/admin",
        "/.%2e/admin",
        "/x%00",
        "/x%0d%0a",
        "/x%7f",
        "/x%c2%85",
        "/%ff",
        "/%c0%af",
        "/%e9",
        "/x%",
        "/x%2",
        "/x%zz",
        "/%2561dmin",
        "/%252e%252e/admin",
        "/x#y",
        "/x?y",
        "/é",
        "/a b",
        "/a\tb",
        "http://app.example.com/admin",
        "/..;/admin",
        "/x;/../admin",
        "/;/admin",
        "/%3b/admin",
        "/.;a=b/admin",
    ] {
        let verdict = asked(&rules(), ("GET", "app.example.com", path), Some(&user(&["staff", "admins"])));
        assert_eq!(verdict, Verdict::Refused(Ambiguous::Path), "{path}");
    }
    for path in ["/admin;x", "/admin;x/y", "/admin%23/x", "/admin%3Fx", "/help%3b/../x", "/admin%2f", "/Admin;/help"] {
        let passed = get("app.example.com", path, &["staff"]);
        assert!(!matches!(passed, Verdict::Pass | Verdict::PassUnnamed), "{path}: {passed:?}");
    }
    for path in ["/wiki/C%23", "/item;id=5/edit", "/is%3Fit"] {
        assert_eq!(get("app.example.com", path, &["staff"]), Verdict::Pass, "{path}");
    }
}

#[test]
fn methods_are_as_sent_and_needed_where_a_rule_names_them() {
    for method in ["get", "Get", "", "GET ", "GET,POST", "G\0T"] {
        assert_eq!(Target::read("a", "/", Some(method)), Err(Ambiguous::Method), "{method}");
    }
    assert_eq!(asked(&rules(), ("HEAD", "app.example.com", "/api"), Some(&user(&[]))), Verdict::Pass);
    let unsaid =
        |path| verdict(&Rules::new(&rules()), &Target::read("app.example.com", path, None).expect("reads"), None);
    assert_eq!((unsaid("/api/x"), unsaid("/x")), (Verdict::Refused(Ambiguous::Method), Verdict::SignIn));
}

fn some_rules() -> impl Strategy<Value = Vec<AccessRule>> {
    let host = prop::sample::select(vec!["a.x.org", "b.x.org", "*.x.org", "*.a.x.org"]);
    let path = prop::sample::select(vec!["/", "/p", "/p/q", "/pq", "/P/r"]);
    let methods = prop::sample::select(vec![&[][..], &["GET"][..], &["POST"][..]]);
    let groups = prop::sample::select(vec![&[][..], &["g"][..], &["h"][..], &["public"][..]]);
    let one = (host, path, methods, groups).prop_map(|(h, p, m, g)| rule(h, p, m, g));
    prop::collection::vec(one, 0..8).prop_map(|rules| {
        // no two that contradict each other, as the settings see to
        let mut kept: Vec<AccessRule> = Vec::new();
        for rule in rules {
            let same = |held: &AccessRule| {
                held.host == rule.host && held.path.eq_ignore_ascii_case(&rule.path) && held.methods == rule.methods
            };
            if !kept.iter().any(same) {
                kept.push(rule);
            }
        }
        kept
    })
}

fn some_request() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let method = prop::sample::select(vec!["GET", "POST", "HEAD", "PUT"]);
    let host = prop::sample::select(vec!["a.x.org", "b.x.org", "c.a.x.org", "x.org", "y.org"]);
    (method, host, "(/[pqrPz]{0,2}){1,3}").prop_map(|(m, h, p)| (m, h, p.replace("//", "/")))
}

proptest! {
    #[test]
    fn the_order_of_rules_does_not_matter(
        (rules, shuffled) in some_rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        (method, host, path) in some_request(),
        groups in prop::sample::subsequence(vec!["g", "h"], 0..=2),
    ) {
        let user = user(&groups);
        for who in [None, Some(&user)] {
            prop_assert_eq!(
                asked(&rules, (method, host, &path), who),
                asked(&shuffled, (method, host, &path), who)
            );
        }
    }

    #[test]
    fn another_spelling_of_a_path_passes_nothing_more(
        rules in some_rules(),
        (method, host, path) in some_request(),
        picks in prop::collection::vec(0..4_u8, 12),
    ) {
        // any letter may be written as its code, in either case; slashes may not
        let spelt: String = path.chars().zip(picks.iter().cycle()).map(|(c, pick)| match pick {
            1 if c != '/' => format!("%{:02x}", c as u32),
            2 if c != '/' => format!("%{:02X}", c as u32),
            _ => c.to_string(),
        }).collect();
        let upper = host.to_ascii_uppercase() + ".:8080";
        let user = user(&["g"]);
        for who in [None, Some(&user)] {
            prop_assert_eq!(asked(&rules, (method, host, &path), who), asked(&rules, (method, &upper, &spelt), who));
        }
    }

    #[test]
    fn whatever_is_sent_is_read_the_same_by_a_careless_reader_or_refused(path in "(/|%2f|%2e|\\.|;|%5c|\\\\|a|%25|%61|%|#|\\?|%23){1,8}") {
        let path = format!("/{path}");
        if let Ok(target) = Target::read("a", &path, Some("GET")) {
            // decodes again and again, takes backslashes for slashes, resolves dots: what most would do at worst
            let mut careless = path.replace('\\', "/");
            for _ in 0..3 {
                careless = percent_decode_str(&careless).decode_utf8_lossy().replace('\\', "/");
            }
            let mut stack: Vec<&str> = Vec::new();
            for part in careless.split('/').skip(1) {
                match part { "." => {} ".." => { stack.pop(); } part => stack.push(part) }
            }
            prop_assert_eq!(format!("/{}", stack.join("/")), target.path());
        }
    }
}
