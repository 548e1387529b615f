//! Image references as people write them, made whole ("busybox" → "docker.io/library/busybox:latest"); from specs and
//! archives; to [`images`](crate::images) and [`image`](crate::image). Pure.

/// Why text is not an image reference; the text is what clients see.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// Malformed.
    #[error("invalid reference format")]
    Format,
    /// Uppercase letters in the repository.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// Too long a repository.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
}

/// The full reference: registry, repository, and tag or digest.
///
/// # Errors
/// The text is no reference.
pub fn normalize(text: &str) -> Result<String, ReferenceError> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let last_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (path, tag) = match rest.get(last_slash..).and_then(|last| last.find(':')) {
        Some(colon) => rest.split_at(last_slash + colon),
        None => (rest, ""),
    };
    let tag = tag.strip_prefix(':');
    let (registry, repository) = match path.split_once('/') {
        Some((first, repository)) if first.contains(['.', ':']) || first == "localhost" => {
            (first, repository.to_owned())
        }
        Some(_) => ("docker.io", path.to_owned()),
        None => ("docker.io", format!("library/{path}")),
    };
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    if repository.len() > 255 {
        return Err(ReferenceError::TooLong);
    }
    if !valid_registry(registry) || !repository.to_lowercase().split('/').all(valid_component) {
        return Err(ReferenceError::Format);
    }
    if repository.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(ReferenceError::Uppercase(path.to_owned()));
    }
    if tag.is_some_and(|tag| !valid_tag(tag)) || digest.is_some_and(|digest| !valid_digest(digest)) {
        return Err(ReferenceError::Format);
    }
    Ok(match (tag, digest) {
        (_, Some(digest)) => format!("{registry}/{repository}@{digest}"),
        (Some(tag), None) => format!("{registry}/{repository}:{tag}"),
        (None, None) => format!("{registry}/{repository}:latest"),
    })
}

/// The registry's host (and port) of a normalized reference.
pub fn registry(normalized: &str) -> &str {
    normalized.split('/').next().unwrap_or_default()
}

fn valid_registry(registry: &str) -> bool {
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    !registry.is_empty() && registry.chars().all(host) && !registry.starts_with(['-', '.'])
}

/// Lowercase letters and digits, in groups separated by one of `.`, `_`, `__`, or dashes.
fn valid_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let edges = component.starts_with(alphanumeric) && component.ends_with(alphanumeric);
    edges
        && component
            .split(alphanumeric)
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.chars().all(|c| c == '-'))
}

fn valid_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn valid_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return false,
        };
        hex.len() == length && hex.chars().all(|c| c.is_ascii_digit() || matches!(c, 'a'..='f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_names() {
        for (text, whole) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app:x", "localhost/app:x"),
            ("reg.example:5000/a/b_c:v1", "reg.example:5000/a/b_c:v1"),
            ("index.docker.io/library/redis", "docker.io/library/redis:latest"),
        ] {
            assert_eq!(normalize(text).unwrap(), whole);
        }
        let digest = format!("busybox:1@sha256:{}", "a".repeat(64));
        assert_eq!(normalize(&digest).unwrap(), format!("docker.io/library/busybox@sha256:{}", "a".repeat(64)));
    }

    #[test]
    fn refuses_malformed_names() {
        for text in ["", "Busy box", "busybox:", "busybox:-x", "a//b", "busybox@sha256:12", "-a", "a..b", "/a"] {
            assert_eq!(normalize(text), Err(ReferenceError::Format), "{text}");
        }
        assert_eq!(normalize("Busybox"), Err(ReferenceError::Uppercase("Busybox".to_owned())));
    }
}
