//! Agent: a short name for what sent a request, so that people recognise their own sessions in a list.
//!
//! A guess from the `User-Agent` header, never a decision: nothing depends on it. Few words, ASCII only, bounded,
//! because the header is whatever its sender likes.

/// How much of the header is looked at, bytes.
const LOOK_MAX: usize = 512;

/// Marks of browsers, the most particular first: almost all of them also claim to be the ones below.
const BROWSERS: [(&str, &str); 16] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("OPiOS/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("Trident/", "Internet Explorer"),
];

/// Marks of systems, the most particular first.
const SYSTEMS: [(&str, &str); 9] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
    ("BSD", "BSD"),
];

/// A label such as `Firefox on Linux`, `Safari on iPhone`, `curl 8.5` or `unknown`: at most 40 characters of
/// printable ASCII.
pub fn label(user_agent: &str) -> String {
    let agent = &user_agent[..user_agent.floor_char_boundary(LOOK_MAX)];
    let named = |marks: &[(&str, &'static str)]| marks.iter().find(|(m, _)| agent.contains(m)).map(|(_, name)| *name);
    match (named(&BROWSERS), named(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => program(agent).unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// The first product of a program that is no browser: its name and the first two numbers of its version.
fn program(agent: &str) -> Option<String> {
    let product = agent.split_ascii_whitespace().next()?;
    let (name, version) = product.split_once('/').unwrap_or((product, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name == "Mozilla" || name.len() > 24 || !name.chars().all(plain) {
        return None;
    }
    let numeric = |part: &&str| !part.is_empty() && part.len() <= 5 && part.bytes().all(|b| b.is_ascii_digit());
    let numbers: Vec<&str> = version.split('.').take_while(numeric).take(2).collect();
    if numbers.is_empty() { Some(name.to_owned()) } else { Some(format!("{name} {}", numbers.join("."))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn browsers_are_named_with_their_system() {
        for (agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/17.5 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 CriOS/126.0 Mobile/15E148 Safari/604.1",
                "Chrome on iPad",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 \
                 Safari/537.36 Edg/126.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/17.5 Safari/605.1.15",
                "Safari on Mac",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) \
                 SamsungBrowser/25.0 Chrome/121.0 Mobile Safari/537.36",
                "Samsung Internet on Android",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0 \
                 Safari/537.36",
                "Chrome on Linux",
            ),
        ] {
            assert_eq!(label(agent), expected);
        }
    }

    #[test]
    fn programs_are_named_with_their_version() {
        for (agent, expected) in [
            ("curl/8.5.0", "curl 8.5"),
            ("python-requests/2.32.3", "python-requests 2.32"),
            ("Wget/1.21.4", "Wget 1.21"),
            ("node", "node"),
            ("Go-http-client/1.1", "Go-http-client 1.1"),
            ("okhttp/x", "okhttp"),
        ] {
            assert_eq!(label(agent), expected);
        }
    }

    #[test]
    fn all_else_is_unknown() {
        for agent in [
            "",
            " ",
            "Mozilla/5.0",
            "<script>alert(1)</script>",
            "\u{1b}[31m",
            "näh/1",
            "/1.0",
            "Mozilla/5.0 (compatible; bot)",
        ] {
            assert_eq!(label(agent), "unknown", "{agent:?}");
        }
        assert_eq!(label(&"x".repeat(100_000)), "unknown");
        assert_eq!(label(&"é".repeat(100_000)), "unknown");
    }

    #[test]
    fn every_pair_of_marks_fits() {
        for (mark, _) in BROWSERS {
            for (system, _) in SYSTEMS {
                assert!(label(&format!("{mark} {system}")).len() <= crate::limits::AGENT_LABEL_CHARS_MAX);
            }
        }
    }

    proptest! {
        #[test]
        fn a_label_is_short_and_printable(agent in "(\\PC|[a-zA-Z/.0-9 ]|\\n|\\x00|Firefox/|Linux){0,80}") {
            let label = label(&agent);
            prop_assert!((1..=crate::limits::AGENT_LABEL_CHARS_MAX).contains(&label.len()));
            prop_assert!(label.bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}
