//! Lines of container logs as CRI runtimes write them: `TIME STREAM TAG TEXT`; from log files; to
//! [`last_words`](crate::last_words) and [`server::logs`](crate::server::logs). Pure.

/// One line of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// RFC 3339 with nanoseconds.
    pub time: &'a str,
    /// Whether it is standard error.
    pub is_stderr: bool,
    /// Whether the text goes on in the next entry (no newline was written).
    pub partial: bool,
    /// The text.
    pub text: &'a str,
}

/// Reads a line (without its newline); `None` if it is not of this form.
pub fn parse(line: &str) -> Option<Entry<'_>> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_stderr = match stream {
        "stdout" => false,
        "stderr" => true,
        _ => return None,
    };
    Some(Entry { time, is_stderr, partial: tags.split(':').next() == Some("P"), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_full_and_partial_lines() {
        let entry = parse("2026-01-02T03:04:05.000000006Z stderr P a b ").unwrap();
        assert_eq!((entry.time, entry.text), ("2026-01-02T03:04:05.000000006Z", "a b "));
        assert!(entry.is_stderr && entry.partial);
        assert_eq!(parse("t stdout F ").unwrap().text, "");
        assert_eq!(parse("t stdout F").unwrap().text, "");
        assert_eq!(parse("nonsense"), None);
        assert_eq!(parse("t weird F x"), None);
    }
}
