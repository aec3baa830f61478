//! Glob: patterns as `KEYS`, `SCAN` and `PSUBSCRIBE` take them: `*`, `?`, `[a-c]`, `[^x]`, and `\` before a sign that
//! means itself.
//!
//! A star is tried again from the last one only, so that no pattern makes this slower than pattern times text.

/// Whether a text fits a pattern.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // where to go on when what follows the last star does not fit
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        match one(pattern, p, text[t]) {
            Step::Star => {
                last_star = Some((p + 1, t));
                p += 1;
            }
            Step::Fits(next) => (p, t) = (next, t + 1),
            Step::Not => match last_star {
                Some((after, from)) => {
                    last_star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|sign| *sign == b'*')
}

enum Step {
    /// Any text.
    Star,
    /// This byte; the pattern goes on there.
    Fits(usize),
    Not,
}

fn one(pattern: &[u8], at: usize, byte: u8) -> Step {
    let fits = |is_so: bool, next: usize| if is_so { Step::Fits(next) } else { Step::Not };
    match pattern[at..] {
        [] => Step::Not,
        [b'*', ..] => Step::Star,
        [b'?', ..] => Step::Fits(at + 1),
        [b'[', ..] => {
            let (is_so, next) = class(pattern, at + 1, byte);
            fits(is_so, next)
        }
        [b'\\', sign, ..] => fits(sign == byte, at + 2),
        [sign, ..] => fits(sign == byte, at + 1),
    }
}

/// Whether a byte is of the class that begins at `at`, and where the pattern goes on behind it.
fn class(pattern: &[u8], mut at: usize, byte: u8) -> (bool, usize) {
    let is_not = pattern.get(at) == Some(&b'^');
    at += usize::from(is_not);
    let mut is_in = false;
    loop {
        match pattern[at..] {
            // one that has no end ends with the pattern
            [] => return (is_in != is_not, at),
            [b']', ..] => return (is_in != is_not, at + 1),
            [b'\\', sign, ..] => {
                is_in |= sign == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                is_in |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            [sign, ..] => {
                is_in |= sign == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_redis() {
        let all = [
            ("*", "", true),
            ("sess:*", "sess:abc", true),
            ("sess:*", "ses:abc", false),
            ("*:b*c", "a:bxxc:bc", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h[ae", "ha", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[\\]]", "]", true),
            ("", "x", false),
            ("a**b", "ab", true),
        ];
        for (pattern, text, fits) in all {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        assert!(!matches("a*".repeat(2_000).as_bytes(), "a".repeat(1_900).as_bytes()));
        assert!(!matches(b"a*a*a*a*a*a*a*a*a*a*a*a*b", "a".repeat(60_000).as_bytes()));
    }
}
