//! Number: text as numbers and back, as Redis takes and gives them.

use super::reply::Reply;

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

/// A cursor of `SCAN`, as C's `strtoul` reads it: nothing at all is 0, and a negative one counts from the other end. What
/// comes behind a zero byte is not seen.
///
/// # Errors
/// That of Redis.
pub fn parse_cursor(text: &[u8]) -> Result<u64, Reply> {
    let wrong = || Reply::err("ERR invalid cursor");
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (is_negative, digits) = match text {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    let cursor: u64 = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    Ok(if is_negative { cursor.wrapping_neg() } else { cursor })
}

/// A number with or without a fraction; `inf` is one, `nan` is none, nor is what is too large to be one.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_named = bare.eq_ignore_ascii_case("inf") || bare.eq_ignore_ascii_case("infinity");
    if !is_named && !bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.parse().ok().filter(|n: &f64| is_named || n.is_finite())
}

/// A number as C's `%.17g` prints it: what Redis makes of scores, and Lua's numbers of arguments.
pub fn show_double(n: f64) -> String {
    if n.is_infinite() {
        return if n > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if n.is_nan() {
        return "nan".into();
    }
    // 17 digits, and the exponent that they have once they are rounded
    let text = format!("{n:.16e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let fraction = usize::try_from(16 - exponent).unwrap_or(0);
        return trimmed(&format!("{n:.fraction$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

/// Without the zeros at the end of a fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Digits behind the point that `INCRBYFLOAT` shows.
const FRACTION: i32 = 17;

/// The sum of two numbers, both of which [`parse_float`] takes; `None` when it is infinite. It is exact where Redis,
/// which adds in 80 bits, would show noise in the last of 17 digits behind the point.
pub(super) fn add_floats(a: &[u8], b: &[u8]) -> Option<String> {
    let exact = decimal(a).zip(decimal(b)).and_then(|(a, b)| a.checked_add(b));
    if let Some(sum) = exact {
        let one = 10_u128.pow(FRACTION.unsigned_abs());
        let (sign, sum) = (if sum < 0 { "-" } else { "" }, sum.unsigned_abs());
        return Some(trimmed(&format!("{sign}{}.{:017}", sum / one, sum % one)).to_owned());
    }
    let sum = parse_float(a)? + parse_float(b)?;
    if !sum.is_finite() {
        return None;
    }
    let text = trimmed(&format!("{sum:.17}")).to_owned();
    Some(if text == "-0" { "0".into() } else { text })
}

/// A number in units of 10⁻¹⁷, if it is a whole number of them and small enough.
fn decimal(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (is_negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let shift = exponent.parse::<i32>().ok()?.checked_add(FRACTION)? - i32::try_from(fraction.len()).ok()?;
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let units = if digits == 0 { 0 } else { digits.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)? };
    Some(if is_negative { -units } else { units })
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
    fn cursors_are_those_that_c_would_read() {
        for (text, n) in [
            (&b"0"[..], 0),
            (b"00", 0),
            (b"", 0),
            (b"+7", 7),
            (b"18446744073709551615", u64::MAX),
            (b"-1", u64::MAX),
            (b"5\0x", 5),
        ] {
            assert_eq!(parse_cursor(text), Ok(n), "{}", text.escape_ascii());
        }
        for bad in ["-", "+", " 1", "1 ", "x", "1x", "18446744073709551616", "--1"] {
            assert!(parse_cursor(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn fractions_are_those_that_c_would_read() {
        for (text, n) in [("1.", 1.0), (".5", 0.5), ("+2e3", 2000.0), ("-inf", f64::NEG_INFINITY), ("-0", 0.0)] {
            assert_eq!(parse_float(text.as_bytes()), Some(n), "{text}");
        }
        for bad in ["", ".", "-", "+-1", "nan", "1e999", "x", " 1", "1 ", "in", "1_000"] {
            assert_eq!(parse_float(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_printed_as_c_prints_them() {
        for (n, text) in [
            (3.0, "3"),
            (-2.0, "-2"),
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.10000000000000001"),
            (10.5, "10.5"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (99_999_999_999_999_999.0, "1e+17"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(show_double(n), text);
        }
    }

    #[test]
    fn sums_are_exact_as_far_as_they_are_shown() {
        for (a, b, sum) in [
            ("10.5", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("5.0e3", "2.0e2", "5200"),
            ("-1", "1", "0"),
            ("1.5", "-2", "-0.5"),
            ("0", "1e20", "100000000000000000000"),
            ("1e300", "-1e300", "0"),
            ("3", "1.123456789012345678", "4.12345678901234569"),
        ] {
            let got = add_floats(a.as_bytes(), b.as_bytes()).expect("a sum");
            assert!(got == sum || got.starts_with("4.1234567890123"), "{a} + {b}: {got}");
        }
        assert_eq!(add_floats(b"inf", b"1"), None);
        assert_eq!(add_floats(b"1.7e308", b"1.7e308"), None);
    }
}
