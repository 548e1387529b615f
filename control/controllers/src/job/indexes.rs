//! Sets of completion indexes as the API writes them: `0-2,5`. From status and policies; to the plan. Pure.

use std::collections::BTreeSet;

/// Reads a set; indexes from `limit` on, and what is no number, are left out.
pub fn parse(text: &str, limit: i32) -> BTreeSet<i32> {
    let mut set = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            set.extend(first.max(0)..last.saturating_add(1).min(limit));
        }
    }
    set
}

/// Writes a set; `None` for an empty one.
pub fn format(set: &BTreeSet<i32>) -> Option<String> {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for index in set {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => ranges.push((*index, *index)),
        }
    }
    let write = |(first, last): (i32, i32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    // Two neighbours are written with a comma, as upstream does.
    let texts: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| if last == first + 1 { format!("{first},{last}") } else { write((first, last)) })
        .collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_and_written() {
        for text in ["0", "0-2,5", "1,3-7,9", "0,1"] {
            assert_eq!(format(&parse(text, 100)).as_deref(), Some(text));
        }
        assert_eq!(parse("0-9,x", 3), BTreeSet::from([0, 1, 2]));
        assert_eq!(format(&BTreeSet::new()), None);
    }
}
