//! `$(VAR)` references in commands, arguments and environment values; from specs; to [`environment`](super::environment) and
//! [`container_config`](super::container_config). Pure.

/// Replaces `$(NAME)` by `lookup(NAME)`, leaves references without a value as they are, and makes `$$` a single `$`
/// (so that `$$(NAME)` becomes the literal `$(NAME)`).
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, after) = rest.split_at(dollar);
        out.push_str(before);
        let after = after.strip_prefix('$').unwrap_or_default();
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, end)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = end;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> String {
        expand(text, |name| match name {
            "A" => Some("1"),
            "EMPTY" => Some(""),
            "B" => Some("$(A)"),
            _ => None,
        })
    }

    #[test]
    fn follows_the_rules() {
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$(NOPE)", "$(NOPE)"),
            ("$(B)", "$(A)"),
            ("[$(EMPTY)]", "[]"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$HOME", "$HOME"),
            ("ü$(A)ü", "ü1ü"),
        ] {
            assert_eq!(table(text), expected, "{text}");
        }
    }
}
