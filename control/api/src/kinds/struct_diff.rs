//! What changed in a value, as upstream shows it: its struct as indented JSON, compared line by line in unified form; pure.

use std::collections::HashMap;
use std::ops::Range;

use super::go_struct::GoValue;

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// From this many lines on, lines that occur in more than one of a hundred start no match.
const MANY: usize = 200;

/// A run of lines that both sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    old: usize,
    new: usize,
    len: usize,
}

/// The changes from `old` to `new`, each with context; empty when there are none.
pub(super) fn unified(old: &GoValue, new: &GoValue) -> String {
    lines_unified(&old.lines(), &new.lines())
}

fn lines_unified(old: &[String], new: &[String]) -> String {
    let mut text = String::new();
    for hunk in hunks(&changes(old, new)) {
        let (Some((first_old, first_new)), Some((last_old, last_new))) = (hunk.first(), hunk.last()) else { continue };
        let before = CONTEXT.min(first_old.start);
        let after = CONTEXT.min(old.len() - last_old.end).min(new.len() - last_new.end);
        let olds = first_old.start - before..last_old.end + after;
        let news = first_new.start - before..last_new.end + after;
        text.push_str(&format!("@@ -{} +{} @@\n", range(&olds), range(&news)));
        let mut at = olds.start;
        for (removed, added) in &hunk {
            write(&mut text, ' ', old, at..removed.start);
            write(&mut text, '-', old, removed.clone());
            write(&mut text, '+', new, added.clone());
            at = removed.end;
        }
        write(&mut text, ' ', old, at..olds.end);
    }
    text
}

fn write(text: &mut String, mark: char, lines: &[String], range: Range<usize>) {
    for line in lines.get(range).unwrap_or_default() {
        text.push(mark);
        text.push_str(line);
        text.push('\n');
    }
}

/// Start and length as unified diffs write them.
fn range(lines: &Range<usize>) -> String {
    match lines.len() {
        1 => format!("{}", lines.start + 1),
        0 => format!("{},0", lines.start),
        len => format!("{},{len}", lines.start + 1),
    }
}

/// A changed run: its lines of the old and of the new side.
type Change = (Range<usize>, Range<usize>);

/// Changes whose contexts meet, together.
fn hunks(changes: &[Change]) -> Vec<Vec<Change>> {
    let mut hunks: Vec<Vec<Change>> = Vec::new();
    for change in changes {
        match hunks.last_mut() {
            Some(hunk) if hunk.last().is_some_and(|(old, _)| change.0.start - old.end <= 2 * CONTEXT) => {
                hunk.push(change.clone());
            }
            _ => hunks.push(vec![change.clone()]),
        }
    }
    hunks
}

/// What lies between the matching runs.
fn changes(old: &[String], new: &[String]) -> Vec<Change> {
    let mut matches = Vec::new();
    collect(&Index::of(old, new), 0..old.len(), 0..new.len(), &mut matches);
    matches.push(Match { old: old.len(), new: new.len(), len: 0 });
    let (mut at, mut changes) = ((0, 0), Vec::new());
    for found in matches {
        if at != (found.old, found.new) {
            changes.push((at.0..found.old, at.1..found.new));
        }
        at = (found.old + found.len, found.new + found.len);
    }
    changes
}

/// The lines of both sides, and where each stands on the new side.
struct Index<'a> {
    old: &'a [String],
    new: &'a [String],
    places: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Index<'a> {
    fn of(old: &'a [String], new: &'a [String]) -> Self {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, line) in new.iter().enumerate() {
            places.entry(line).or_default().push(at);
        }
        if new.len() >= MANY {
            places.retain(|_, at| at.len() <= new.len() / 100 + 1);
        }
        Self { old, new, places }
    }

    /// The longest run that both ranges have; the earliest of several.
    fn longest(&self, old: &Range<usize>, new: &Range<usize>) -> Match {
        let mut best = Match { old: old.start, new: new.start, len: 0 };
        let mut lengths: HashMap<usize, usize> = HashMap::new();
        for at in old.clone() {
            let mut next = HashMap::new();
            let places = self.old.get(at).and_then(|line| self.places.get(line.as_str()));
            for place in places.into_iter().flatten().copied().filter(|place| new.contains(place)) {
                let len = place.checked_sub(1).and_then(|before| lengths.get(&before)).copied().unwrap_or_default() + 1;
                next.insert(place, len);
                if len > best.len {
                    best = Match { old: at + 1 - len, new: place + 1 - len, len };
                }
            }
            lengths = next;
        }
        self.grown(best, old, new)
    }

    /// The run with equal lines before and after it, however frequent.
    fn grown(&self, mut run: Match, old: &Range<usize>, new: &Range<usize>) -> Match {
        while run.old > old.start && run.new > new.start && self.old.get(run.old - 1) == self.new.get(run.new - 1) {
            run = Match { old: run.old - 1, new: run.new - 1, len: run.len + 1 };
        }
        while run.old + run.len < old.end
            && run.new + run.len < new.end
            && self.old.get(run.old + run.len) == self.new.get(run.new + run.len)
        {
            run.len += 1;
        }
        run
    }
}

/// Matches in order: the longest, and those before and after it.
fn collect(index: &Index<'_>, old: Range<usize>, new: Range<usize>, matches: &mut Vec<Match>) {
    let found = index.longest(&old, &new);
    if found.len == 0 {
        return;
    }
    collect(index, old.start..found.old, new.start..found.new, matches);
    matches.push(found);
    collect(index, found.old + found.len..old.end, found.new + found.len..new.end, matches);
}

#[cfg(test)]
mod tests;
