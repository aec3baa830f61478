//! Units: durations and sizes as people write them, `1h30m` and `512MiB`.
//!
//! A number without a unit is refused: 3600 is an hour to one program and four seconds to another. Sizes are binary
//! only, because "512MB" means two different amounts.

use jiff::{Span, SpanRelativeTo};

/// Milliseconds of a duration such as `30m`, `1h30m`, `500ms`, `30d`. A day is 24 hours.
///
/// # Errors
/// What to write instead; empty when there is nothing special to say.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let hint = if text == "0" { "write \"0s\"".into() } else { format!("give the number a unit: \"{text}s\"") };
        return Err(hint);
    }
    let span: Span = text.parse().map_err(|_| String::new())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let millis = length.map_err(|_| "months and years differ in length; write days".to_owned())?.as_millis();
    u64::try_from(millis).map_err(|_| "a duration is never negative".to_owned())
}

/// The same for a flag: what to write instead is always said.
///
/// # Errors
/// As [`parse_duration`], never empty.
pub fn duration_flag(text: &str) -> Result<u64, String> {
    parse_duration(text).map_err(|hint| match hint.is_empty() {
        true => "write a number and a unit, such as 90s, 30m or 1h30m".into(),
        false => hint,
    })
}

/// The shortest exact way to write so many milliseconds.
pub fn show_duration(mut millis: u64) -> String {
    if millis == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if millis >= length {
            out += &format!("{}{unit}", millis / length);
            millis %= length;
        }
    }
    out
}

const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Bytes of a size such as `512MiB`, `64KiB`, `100B`.
///
/// # Errors
/// What to write instead; empty when there is nothing special to say.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| String::new())?;
    let unit = unit.trim_start();
    if let Some((_, bytes)) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        return number.checked_mul(*bytes).ok_or_else(String::new);
    }
    Err(match unit.to_ascii_uppercase().as_str() {
        "" => format!("give the number a unit: \"{number}MiB\""),
        "K" | "KB" => format!("write \"{number}KiB\""),
        "M" | "MB" => format!("write \"{number}MiB\""),
        "G" | "GB" => format!("write \"{number}GiB\""),
        "T" | "TB" => format!("write \"{number}TiB\""),
        _ => String::new(),
    })
}

/// The shortest exact way to write so many bytes.
pub fn show_size(bytes: u64) -> String {
    let fits = SIZES.iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    let (unit, size) = fits.unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up_their_parts() {
        let said = ["30m", "1h30m", "1h 30m", "1s", "500ms", "30d", "2w", "0s", "1m1s"].map(parse_duration);
        let meant = [1_800_000, 5_400_000, 5_400_000, 1_000, 500, 2_592_000_000, 1_209_600_000, 0, 61_000];
        assert_eq!(said, meant.map(Ok));
    }

    #[test]
    fn durations_without_unit_or_of_unknown_length_or_negative_are_refused() {
        assert_eq!(parse_duration("3600"), Err("give the number a unit: \"3600s\"".into()));
        assert_eq!(parse_duration("0"), Err("write \"0s\"".into()));
        assert_eq!(parse_duration("1mo"), Err("months and years differ in length; write days".into()));
        assert_eq!(parse_duration("-5m"), Err("a duration is never negative".into()));
        assert_eq!(parse_duration("5m ago"), Err("a duration is never negative".into()));
        for nonsense in ["", "30x", "m", "1h30", "--1s", "99999999999999999999s"] {
            assert_eq!(parse_duration(nonsense), Err(String::new()), "{nonsense}");
        }
    }

    #[test]
    fn a_flag_that_is_no_duration_is_told_what_one_looks_like() {
        assert_eq!(duration_flag("90s"), Ok(90_000));
        assert_eq!(duration_flag("abc"), Err("write a number and a unit, such as 90s, 30m or 1h30m".into()));
        assert_eq!(duration_flag("90"), parse_duration("90"));
    }

    #[test]
    fn a_shown_duration_is_read_back_as_the_same() {
        for ms in [0, 1, 999, 1_000, 61_000, 5_400_000, 86_400_000, 34_560_000_000] {
            assert_eq!(parse_duration(&show_duration(ms)), Ok(ms), "{}", show_duration(ms));
        }
        assert_eq!(show_duration(5_400_000), "1h30m");
        assert_eq!(show_duration(34_560_000_000), "400d");
    }

    #[test]
    fn sizes_are_binary_and_need_a_unit() {
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert_eq!(parse_size("1 gib"), Ok(1 << 30));
        assert_eq!(parse_size("100B"), Ok(100));
        assert_eq!(parse_size("512MB"), Err("write \"512MiB\"".into()));
        assert_eq!(parse_size("512"), Err("give the number a unit: \"512MiB\"".into()));
        for nonsense in ["", "MiB", "-1MiB", "1.5GiB", "1XiB", "99999999999TiB"] {
            assert_eq!(parse_size(nonsense), Err(String::new()), "{nonsense}");
        }
    }

    #[test]
    fn a_shown_size_is_read_back_as_the_same() {
        for bytes in [0, 1, 1_023, 1_024, 512 << 20, (1 << 30) + 1] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes), "{}", show_size(bytes));
        }
        assert_eq!(show_size(512 << 20), "512MiB");
    }
}
