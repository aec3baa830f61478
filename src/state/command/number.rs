//! Number: text as numbers and back, as Redis takes and gives them.

/// A whole number exactly as Redis would print it: no sign but `-`, no blank, no leading zero.
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !is_plain || text.len() > 20 {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A number with or without a fraction; `inf` is one, `nan` is none.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.trim_start_matches(['+', '-']);
    let is_named = bare.eq_ignore_ascii_case("inf") || bare.eq_ignore_ascii_case("infinity");
    let is_number = bare.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !is_named && !is_number {
        return None;
    }
    text.parse().ok().filter(|n: &f64| !n.is_nan())
}

/// A score or a product of fractions, as Redis prints it: 17 significant digits at most, no trailing zeros.
pub fn show_float(n: f64) -> String {
    if n.is_infinite() {
        return if n > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if n.fract() == 0.0 && n.abs() < 1e17 {
        return format!("{n:.0}");
    }
    let exponent = n.abs().log10().floor();
    if (-5.0..17.0).contains(&exponent) { format!("{n}") } else { exponential(n) }
}

/// `1e+20`, where Rust writes `1e20`.
fn exponential(n: f64) -> String {
    let text = format!("{n:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, digits_of_exponent) = match exponent.strip_prefix('-') {
                Some(rest) => ('-', rest),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{digits_of_exponent:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_those_that_redis_would_print() {
        for (text, n) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)] {
            assert_eq!(parse_int(text.as_bytes()), Some(n));
        }
        for bad in ["", "-", "+1", " 1", "1 ", "01", "-0", "1.0", "1e3", "9223372036854775808", "x"] {
            assert_eq!(parse_int(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn fractions_are_printed_as_redis_prints_them() {
        for (n, text) in [
            (3.0, "3"),
            (-2.0, "-2"),
            (0.0, "0"),
            (0.1, "0.1"),
            (10.5, "10.5"),
            (1e20, "1e+20"),
            (1.5e-9, "1.5e-09"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(show_float(n), text);
        }
    }
}
