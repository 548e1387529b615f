//! Quantities such as `100m`, `2Gi` or `1e3`; from objects; to canonical text, comparison and sums; pure.
//!
//! A quantity is a decimal number with at most nine digits after the point, and a format that decides how it is written.

use std::cmp::Ordering;
use std::fmt;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `1k`, `100m`.
    DecimalSi,
    /// `1Ki`.
    BinarySi,
    /// `1e3`.
    DecimalExponent,
}

/// The text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It does not have the form of a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// Billionths in one unit.
const NANO: i128 = 1_000_000_000;

/// A number of billionths with the way to write it. Out of range values are kept at the largest that fits (about 1.7e29).
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// Reads a text. Digits after the ninth place are rounded away from zero, as upstream does.
    ///
    /// # Errors
    /// When the text has not the form of a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or_default()),
            Some(b'+') => (false, text.get(1..).unwrap_or_default()),
            Some(_) => (false, text),
            None => return Err(QuantityError::Format),
        };
        let whole_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(whole_end);
        let (fraction, suffix) = match after.strip_prefix('.') {
            Some(tail) => tail.split_at(tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() || !has_suffix_form(suffix) {
            return Err(QuantityError::Format);
        }
        let (multiplier, format) = suffix_of(suffix)?;
        let nanos = scale(whole, fraction, multiplier);
        Ok(Self { nanos: if negative { -nanos } else { nanos }, format })
    }

    /// A whole number.
    #[must_use]
    pub fn new(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * NANO, format }
    }

    /// Thousandths.
    #[must_use]
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// The value in units, rounded up (away from zero), at most what an `i64` holds.
    #[must_use]
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// The value in thousandths, rounded up (away from zero), at most what an `i64` holds.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        self.scaled(NANO / 1000)
    }

    fn scaled(self, unit: i128) -> i64 {
        let up = self.nanos.unsigned_abs().div_ceil(unit.unsigned_abs());
        let up = i64::try_from(up).unwrap_or(i64::MAX);
        if self.nanos < 0 { -up } else { up }
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// -1, 0 or 1.
    #[must_use]
    pub fn signum(self) -> i128 {
        self.nanos.signum()
    }

    /// How it is written.
    #[must_use]
    pub fn format(self) -> Format {
        self.format
    }

    /// The sum, written as `self` is (as `other`, when `self` is zero).
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos).max(-i128::MAX), format: self.format_with(other) }
    }

    /// The difference, written as `self` is (as `other`, when `self` is zero).
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_sub(other.nanos).max(-i128::MAX), format: self.format_with(other) }
    }

    fn format_with(self, other: Self) -> Format {
        if self.nanos == 0 { other.format } else { self.format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that allows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let magnitude = self.nanos.abs();
        if self.format == Format::BinarySi && magnitude >= 1024 * NANO && magnitude % NANO == 0 {
            const SUFFIXES: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
            let (mut number, mut suffix) = (self.nanos / NANO, "");
            for next in SUFFIXES {
                if number % 1024 != 0 {
                    break;
                }
                (number, suffix) = (number / 1024, next);
            }
            return write!(f, "{number}{suffix}");
        }
        const SUFFIXES: [(&str, i32); 10] =
            [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
        let (mut number, mut at) = (self.nanos, 0);
        while number % 1000 == 0 && at + 1 < SUFFIXES.len() {
            (number, at) = (number / 1000, at + 1);
        }
        let (suffix, exponent) = SUFFIXES.get(at).copied().unwrap_or_default();
        match self.format {
            Format::DecimalExponent if exponent != 0 => write!(f, "{number}e{exponent}"),
            Format::DecimalExponent | Format::DecimalSi | Format::BinarySi => write!(f, "{number}{suffix}"),
        }
    }
}

/// Letters, then an optional sign and digits: what upstream lets pass to the suffix table.
fn has_suffix_form(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
    if rest.is_empty() {
        return true;
    }
    let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    digits.bytes().all(|b| b.is_ascii_digit())
}

/// A power of ten or of two.
#[derive(Clone, Copy)]
enum Multiplier {
    Ten(i32),
    Two(u32),
}

fn suffix_of(suffix: &str) -> Result<(Multiplier, Format), QuantityError> {
    use Format::{BinarySi, DecimalSi};
    Ok(match suffix {
        "n" => (Multiplier::Ten(-9), DecimalSi),
        "u" => (Multiplier::Ten(-6), DecimalSi),
        "m" => (Multiplier::Ten(-3), DecimalSi),
        "" => (Multiplier::Ten(0), DecimalSi),
        "k" => (Multiplier::Ten(3), DecimalSi),
        "M" => (Multiplier::Ten(6), DecimalSi),
        "G" => (Multiplier::Ten(9), DecimalSi),
        "T" => (Multiplier::Ten(12), DecimalSi),
        "P" => (Multiplier::Ten(15), DecimalSi),
        "E" => (Multiplier::Ten(18), DecimalSi),
        "Ki" => (Multiplier::Two(10), BinarySi),
        "Mi" => (Multiplier::Two(20), BinarySi),
        "Gi" => (Multiplier::Two(30), BinarySi),
        "Ti" => (Multiplier::Two(40), BinarySi),
        "Pi" => (Multiplier::Two(50), BinarySi),
        "Ei" => (Multiplier::Two(60), BinarySi),
        other => {
            let exponent = other.strip_prefix(['e', 'E']).and_then(|e| e.parse::<i32>().ok());
            (Multiplier::Ten(exponent.ok_or(QuantityError::Suffix)?), Format::DecimalExponent)
        }
    })
}

/// `whole.fraction × multiplier` in billionths, rounded away from zero, at most what fits.
fn scale(whole: &str, fraction: &str, multiplier: Multiplier) -> i128 {
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
    let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let (power, factor) = match multiplier {
        Multiplier::Ten(exponent) => (i64::from(exponent), 1),
        Multiplier::Two(shift) => (0, 1_i128 << shift),
    };
    // The number is `digits × 10^exponent × factor` billionths.
    let exponent = power.saturating_add(9).saturating_sub(places);
    let mut number: i128 = 0;
    let mut lost = false;
    let keep = if exponent < 0 {
        let dropped = usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX);
        // With a binary factor the dropped places may still count: keep some of them until after the multiplication.
        digits.len().saturating_sub(dropped)
    } else {
        digits.len()
    };
    let (kept, rest) = digits.split_at(keep);
    for digit in kept {
        number = number.saturating_mul(10).saturating_add(i128::from(*digit));
    }
    number = number.saturating_mul(factor);
    if !rest.is_empty() {
        // 18 places are exact enough: a further digit can only make the rounding go up.
        let leading = exponent.unsigned_abs().saturating_sub(u64::try_from(rest.len()).unwrap_or(u64::MAX));
        let mut part: i128 = 0;
        let mut unit: i128 = 1;
        let zeros = usize::try_from(leading.min(18)).unwrap_or(18);
        for digit in std::iter::repeat_n(0, zeros).chain(rest.iter().copied()) {
            if unit < 1_000_000_000_000_000_000 {
                part = part * 10 + i128::from(digit);
                unit *= 10;
            } else {
                lost |= digit != 0;
            }
        }
        let product = part.saturating_mul(factor);
        number = number.saturating_add(product / unit);
        lost |= product % unit != 0;
    }
    for _ in 0..exponent.clamp(0, 40) {
        number = number.saturating_mul(10);
    }
    if lost { number.saturating_add(1) } else { number }
}

/// The canonical text of a quantity.
///
/// # Errors
/// As [`Quantity::parse`].
pub fn canonical(text: &str) -> Result<String, QuantityError> {
    Ok(Quantity::parse(text)?.to_string())
}

#[cfg(test)]
mod tests;
