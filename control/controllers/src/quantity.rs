//! Quantities as numbers, and back in the API's canonical form. From specs; to quota sums. Pure.

use std::fmt;

/// An amount in units of 10⁻³, and whether it is written with binary suffixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantity {
    milli: i128,
    binary: bool,
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

impl Quantity {
    /// A number of things.
    pub fn count(count: usize) -> Self {
        Self { milli: i128::try_from(count).unwrap_or(i128::MAX / 1000).saturating_mul(1000), binary: false }
    }

    /// Reads a quantity; what is below 10⁻³ is rounded up.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text
            .char_indices()
            .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && matches!(c, '+' | '-'))))
            .map_or(text.len(), |(at, _)| at);
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scale = i32::try_from(fraction.len()).ok()?;
        if let Some(power) = BINARY.iter().position(|known| *known == suffix).filter(|power| *power > 0) {
            let factor = 1024_i128.checked_pow(u32::try_from(power).ok()?)?;
            return Some(Self { milli: scaled(digits.checked_mul(factor)?, 3 - scale)?, binary: true });
        }
        let exponent = match DECIMAL.iter().find(|(known, _)| *known == suffix) {
            Some((_, exponent)) => *exponent,
            None => suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|exponent| (-30..=30).contains(exponent))?,
        };
        Some(Self { milli: scaled(digits, exponent + 3 - scale)?, binary: false })
    }

    /// The sum; a sum takes its form from the first part that is not zero.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let binary = if self.milli == 0 { other.binary } else { self.binary };
        Self { milli: self.milli.saturating_add(other.milli), binary }
    }

    /// The larger one.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.milli > self.milli { other } else { self }
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.milli == 0
    }
}

/// `digits` · 10^`power`, rounded up.
fn scaled(digits: i128, power: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        return digits.checked_mul(factor);
    }
    Some(digits.div_euclid(factor) + i128::from(digits.rem_euclid(factor) != 0))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli == 0 {
            return f.write_str("0");
        }
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let mut units = self.milli / 1000;
        let (base, suffixes): (i128, Vec<&str>) = if self.binary {
            (1024, BINARY.to_vec())
        } else {
            (1000, DECIMAL.iter().filter(|(_, exponent)| *exponent >= 0).map(|(suffix, _)| *suffix).collect())
        };
        let mut suffix = "";
        for larger in suffixes.into_iter().skip(1) {
            if units % base != 0 {
                break;
            }
            units /= base;
            suffix = larger;
        }
        write!(f, "{units}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_added_and_written() {
        for (text, canonical) in [
            ("600m", "600m"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("100Mi", "100Mi"),
            ("1000", "1k"),
            ("1e3", "1k"),
            ("1536Mi", "1536Mi"),
            ("0", "0"),
            ("4Gi", "4Gi"),
            ("1.5Gi", "1536Mi"),
            ("1u", "1m"),
        ] {
            assert_eq!(Quantity::parse(text).map(|q| q.to_string()).as_deref(), Some(canonical), "{text}");
        }
        let sum = |a: &str, b: &str| Quantity::parse(a).unwrap().plus(Quantity::parse(b).unwrap()).to_string();
        assert_eq!(sum("0", "100Mi"), "100Mi");
        assert_eq!(sum("500m", "0.5"), "1");
        assert_eq!(Quantity::parse("x"), None);
    }
}
