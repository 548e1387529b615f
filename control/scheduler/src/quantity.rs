//! Quantities as numbers. From the API's strings; to [`crate::resources`]. Pure.

/// Parses a quantity into units of 10⁻³, rounded up; `None` when it is no quantity. Beyond ±i64 it saturates.
pub fn milli(text: &str) -> Option<i64> {
    let (number, suffix) = split(text);
    let exponent: i32;
    let mut binary: u32 = 0;
    match suffix {
        "n" => exponent = -9,
        "u" => exponent = -6,
        "m" => exponent = -3,
        "" => exponent = 0,
        "k" => exponent = 3,
        "M" => exponent = 6,
        "G" => exponent = 9,
        "T" => exponent = 12,
        "P" => exponent = 15,
        "E" => exponent = 18,
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => {
            exponent = 0;
            binary = match suffix {
                "Ki" => 10,
                "Mi" => 20,
                "Gi" => 30,
                "Ti" => 40,
                "Pi" => 50,
                _ => 60,
            };
        }
        other => {
            let digits = other.strip_prefix(['e', 'E'])?;
            exponent = digits.parse().ok().filter(|exponent| (-100..=100).contains(exponent))?;
        }
    }
    let (digits, fraction_digits) = digits(number)?;
    let scaled = digits.checked_mul(1_i128.checked_shl(binary)?);
    let power = exponent + 3 - i32::try_from(fraction_digits).ok()?;
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    let value = match (scaled, factor) {
        (Some(scaled), Some(factor)) if power >= 0 => scaled.saturating_mul(factor),
        (Some(scaled), Some(factor)) => scaled.div_euclid(factor) + i128::from(scaled.rem_euclid(factor) != 0),
        (Some(scaled), None) if power < 0 => i128::from(scaled > 0),
        _ => i128::MAX * digits.signum(),
    };
    Some(i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX }))
}

/// Parses a quantity into whole units, rounded up.
pub fn units(text: &str) -> Option<i64> {
    let milli = milli(text)?;
    if milli < i64::MAX {
        return Some(milli.div_euclid(1000) + i64::from(milli.rem_euclid(1000) != 0));
    }
    // More than 9.2·10¹⁵ units: keep the magnitude that a whole number of them allows.
    let (number, suffix) = split(text);
    let shift = match suffix {
        "Pi" => 50,
        "Ei" => 60,
        _ => return Some(i64::MAX),
    };
    Some(number.parse::<i64>().ok().and_then(|n| n.checked_mul(1_i64 << shift)).unwrap_or(i64::MAX))
}

fn split(text: &str) -> (&str, &str) {
    let end = text
        .char_indices()
        .find(|(index, c)| !(c.is_ascii_digit() || *c == '.' || (*index == 0 && matches!(c, '+' | '-'))))
        .map_or(text.len(), |(index, _)| index);
    text.split_at(end)
}

/// The digits without the point, and how many are behind it.
fn digits(number: &str) -> Option<(i128, usize)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.trim_start_matches(['+', '-']).is_empty() && fraction.is_empty() {
        return None;
    }
    let joined = format!("{whole}{fraction}");
    Some((joined.parse().ok()?, fraction.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        for (text, wanted) in [
            ("1", 1000),
            ("100m", 100),
            ("0.5", 500),
            ("1.5", 1500),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("1Ki", 1_024_000),
            ("-1", -1000),
            ("1u", 1),
            ("1n", 1),
            ("0", 0),
            ("1.0", 1000),
            ("+3", 3000),
        ] {
            assert_eq!(milli(text), Some(wanted), "{text}");
        }
        for (text, wanted) in
            [("1Gi", 1 << 30), ("128Mi", 128 << 20), ("1500m", 2), ("1M", 1_000_000), ("4Ei", 1 << 62)]
        {
            assert_eq!(units(text), Some(wanted), "{text}");
        }
        for text in ["", "x", "1x", "m", "1e", "--1", "1.2.3"] {
            assert_eq!(milli(text), None, "{text}");
        }
        assert_eq!(units("999999E"), Some(i64::MAX));
    }
}
