//! Numbers out of API quantities ("100m", "1.5Gi"); from pod and node objects; to resources, cgroups, volumes. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const NANO: i128 = 1_000_000_000;

/// The quantity in whole units (bytes, cores …), rounded up; `None` when it is not a quantity or does not fit.
pub fn value(quantity: &Quantity) -> Option<i64> {
    scaled(&quantity.0, NANO)
}

/// The quantity in thousandths, rounded up; `None` when it is not a quantity or does not fit.
pub fn milli_value(quantity: &Quantity) -> Option<i64> {
    scaled(&quantity.0, NANO / 1000)
}

/// The quantity divided by `divisor`, rounded up, as the downward API counts (a divisor of zero or nonsense counts as 1).
pub fn divided(quantity: &Quantity, divisor: Option<&Quantity>) -> Option<i64> {
    let divisor = divisor.and_then(|divisor| nanos(&divisor.0)).filter(|nanos| *nanos > 0).unwrap_or(NANO);
    scaled(&quantity.0, divisor)
}

fn scaled(text: &str, unit: i128) -> Option<i64> {
    let nanos = nanos(text)?;
    let up = i128::from(nanos > 0 && nanos % unit != 0);
    i64::try_from(nanos / unit + up).ok()
}

/// The quantity in thousand-millionths.
fn nanos(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction_digits = u32::try_from(fraction.len()).ok()?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (numerator, denominator) = multiplier(suffix)?;
    let product = digits.checked_mul(numerator)?;
    let divisor = 10_i128.checked_pow(fraction_digits)?.checked_mul(denominator)?;
    let nanos = product / divisor + i128::from(product % divisor != 0);
    Some(if negative { -nanos } else { nanos })
}

/// What a suffix multiplies by, in nanos, as numerator and denominator.
fn multiplier(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((NANO << (10 * power), 1));
    let decimal = |power: u32| Some((NANO * 10_i128.pow(power), 1));
    match suffix {
        "" => decimal(0),
        "n" => Some((1, 1)),
        "u" => Some((1000, 1)),
        "m" => Some((1_000_000, 1)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { Some((NANO, size)) } else { Some((NANO.checked_mul(size)?, 1)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        Quantity(text.to_owned())
    }

    #[test]
    fn reads_every_suffix_and_rounds_up() {
        assert_eq!(value(&q("1.5Gi")), Some(1_610_612_736));
        assert_eq!(value(&q("100M")), Some(100_000_000));
        assert_eq!(value(&q("1e3")), Some(1000));
        assert_eq!(value(&q("12E-1")), Some(2));
        assert_eq!(value(&q("1m")), Some(1));
        assert_eq!(milli_value(&q("100m")), Some(100));
        assert_eq!(milli_value(&q("0.25")), Some(250));
        assert_eq!(milli_value(&q("2")), Some(2000));
        assert_eq!(value(&q("-3")), Some(-3));
        assert_eq!(value(&q("x")), None);
        assert_eq!(value(&q("1Zi")), None);
        assert_eq!(value(&q("")), None);
    }

    #[test]
    fn divides_as_the_downward_api() {
        assert_eq!(divided(&q("64Mi"), Some(&q("1Mi"))), Some(64));
        assert_eq!(divided(&q("250m"), Some(&q("1m"))), Some(250));
        assert_eq!(divided(&q("250m"), None), Some(1));
        assert_eq!(divided(&q("250m"), Some(&q("0"))), Some(1));
    }
}
