//! A few bits per object that rule most objects out before their labels are compared. From labels and selectors; to selection. Pure.
//!
//! Each label of an object sets the bit of its key and the bit of key and value. A selector that asks for a label needs its bit; an object
//! without it cannot match, and is found out by looking at one word of memory instead of following pointers to keys and values.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use skep_api::selector::{LabelSelector, Operator};

/// The bits of an object's labels, or those that a selector needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelMarks(u64);

impl LabelMarks {
    /// The bits of labels.
    #[must_use]
    pub fn of<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(labels.into_iter().fold(0, |bits, (key, value)| bits | bit(key, None) | bit(key, Some(value))))
    }

    /// The bits without which no object matches.
    #[must_use]
    pub fn needed_by(selector: &LabelSelector) -> Self {
        let of = |requirement: &skep_api::selector::LabelRequirement| match (requirement.operator, &*requirement.values)
        {
            (Operator::In, [only]) => bit(&requirement.key, None) | bit(&requirement.key, Some(only)),
            (Operator::In | Operator::Exists | Operator::GreaterThan | Operator::LessThan, _) => {
                bit(&requirement.key, None)
            }
            (Operator::NotIn | Operator::DoesNotExist, _) => 0,
        };
        Self(selector.requirements().iter().map(of).fold(0, |all, bits| all | bits))
    }

    /// Whether all of `needed` are among these.
    #[must_use]
    pub fn include(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }
}

fn bit(key: &str, value: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    1 << (hasher.finish() % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_rule_out_what_matches() {
        let objects: Vec<Vec<(String, String)>> = (0..200)
            .map(|n| (0..n % 5).map(|l| (format!("key{l}"), format!("value{}", (n / 5 + l) % 7))).collect())
            .collect();
        let selectors = ["key0=value3", "key1 in (value1,value2)", "key2", "!key3", "key0!=value1,key1=value2", "key9"];
        let mut ruled_out = 0;
        for text in selectors {
            let selector = LabelSelector::parse(text).expect("selector");
            let needed = LabelMarks::needed_by(&selector);
            for labels in &objects {
                let marks = LabelMarks::of(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
                let value = |key: &str| labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
                assert!(marks.include(needed) || !selector.matches(value), "{text} {labels:?}");
                ruled_out += usize::from(!marks.include(needed));
            }
        }
        assert!(ruled_out > 500, "{ruled_out}");
    }
}
