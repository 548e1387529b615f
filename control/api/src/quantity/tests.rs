//! Quantities; pure.

use proptest::prelude::*;

use super::*;

#[test]
fn canonical_texts() {
    for (text, expected) in [
        ("0", "0"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1.5Gi", "1536Mi"),
        ("1024Ki", "1Mi"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("100M", "100M"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e5", "1200e3"),
        ("0.1", "100m"),
        ("-1.5", "-1500m"),
        ("+2", "2"),
        ("0.5Mi", "512Ki"),
        ("0.5Ki", "512"),
        ("1.0000000001", "1000000001n"),
        ("100n", "100n"),
        ("0.0000000001", "1n"),
        ("64Ei", "64Ei"),
        ("0.1Ki", "102400m"),
        ("1500k", "1500k"),
        ("123456789", "123456789"),
        (".5", "500m"),
        ("5.", "5"),
    ] {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn refusals() {
    for text in ["", "x", "1x", "1 ", " 1", ".", "-", "1.2.3", "1Ki2x"] {
        assert_eq!(Quantity::parse(text), Err(QuantityError::Format), "{text}");
    }
    for text in ["1KiB".trim_end_matches('B').to_owned() + "K", "1mm".into(), "1e".into(), "1Ke3".into()] {
        assert_eq!(Quantity::parse(&text), Err(QuantityError::Suffix), "{text}");
    }
}

#[test]
fn sums_and_order() {
    let q = |t: &str| Quantity::parse(t).expect("valid");
    assert_eq!(q("100m").plus(q("0.9")).to_string(), "1");
    assert_eq!(Quantity::ZERO.plus(q("1Gi")).to_string(), "1Gi");
    assert_eq!(q("1Gi").minus(q("1Mi")).to_string(), "1023Mi");
    assert!(q("1Gi") > q("1G"));
    assert_eq!((q("1500m").value(), q("1500m").milli_value(), q("-1500m").value()), (2, 1500, -2));
    assert_eq!(q("1e30").value(), i64::MAX);
}

proptest! {
    #[test]
    fn canonical_is_stable_and_equal(
        whole in 0_u32..2_000_000, fraction in proptest::option::of(0_u32..100_000),
        suffix in prop::sample::select(vec!["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3", "u"]), negative in any::<bool>(),
    ) {
        let sign = if negative { "-" } else { "" };
        let text = match fraction {
            Some(f) => format!("{sign}{whole}.{f}{suffix}"),
            None => format!("{sign}{whole}{suffix}"),
        };
        let first = Quantity::parse(&text).expect("valid");
        let written = first.to_string();
        let second = Quantity::parse(&written).expect("canonical text parses");
        prop_assert_eq!(first, second);
        prop_assert_eq!(second.to_string(), written);
    }

    #[test]
    fn nothing_panics(text in "[-+]?[0-9.]{0,40}[eEinumkKMGTP]{0,3}[-+]?[0-9]{0,12}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            prop_assert!(!quantity.plus(quantity).to_string().is_empty());
            prop_assert!(quantity.value().unsigned_abs() <= i64::MAX.unsigned_abs());
        }
    }
}
