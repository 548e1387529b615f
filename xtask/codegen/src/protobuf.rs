//! Reads the messages of k8s-pb; from its files; to [`Message`]s by type name in lower case.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

/// One field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name in lower case without separators, to be compared with [`plain`] JSON names.
    pub name: String,
    /// Number on the wire.
    pub tag: u32,
    /// What prost says of it: `string`, `message, repeated`, `btree_map = "string, bytes"` …
    pub kind: String,
    /// For messages: the full name of the type in lower case.
    pub message: Option<String>,
    /// The default that the comment names.
    pub default: Option<String>,
}

/// The fields of one message.
pub type Message = Vec<Field>;

/// A name without case and separators, so that `podCIDRs` meets `pod_cid_rs`.
pub fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// All messages, by type name in lower case.
pub fn read(dir: &Path) -> anyhow::Result<BTreeMap<String, Message>> {
    let mut messages = BTreeMap::new();
    for file in crate::sources::rust_files(dir)? {
        let module: Vec<String> = file
            .parent()
            .context("a file has a folder")?
            .strip_prefix(dir)?
            .iter()
            .map(|p| p.to_string_lossy().replace('_', "-"))
            .collect();
        let source = std::fs::read_to_string(&file)?;
        let mut current: Option<(String, Message)> = None;
        let (mut attribute, mut default) = (None::<String>, None::<String>);
        let mut lines = source.lines().peekable();
        while let Some(line) = lines.next() {
            let text = line.trim();
            if let Some(rest) = line.strip_prefix("pub struct ") {
                let name = rest.split([' ', '{', ';']).next().unwrap_or_default();
                if line.ends_with('{') {
                    current = Some((type_name(&module, name), Vec::new()));
                } else {
                    messages.insert(type_name(&module, name), Vec::new());
                }
            } else if line == "}" {
                messages.extend(current.take());
            } else if let Some(value) = text.strip_prefix("/// +default=") {
                default = Some(value.to_owned());
            } else if text.starts_with("#[prost(") && current.is_some() {
                let mut whole = text.to_owned();
                while !whole.ends_with(']') {
                    whole.push_str(lines.next().context("an attribute ends")?.trim());
                }
                attribute = Some(whole);
            } else if let (Some(rest), Some((_, fields))) = (text.strip_prefix("pub "), current.as_mut()) {
                let mut whole = rest.to_owned();
                while !(whole.ends_with(',') && whole.matches('<').count() == whole.matches('>').count()) {
                    whole.push_str(lines.next().context("a field ends")?.trim());
                }
                let (name, rust) = whole.split_once(':').context("a field has a type")?;
                let attribute = attribute.take().context("a field has an attribute")?;
                let inner = attribute.trim_start_matches("#[prost(").trim_end_matches(")]");
                let (kind, tag) = inner
                    .rsplit_once("tag = \"")
                    .or_else(|| inner.rsplit_once("tag=\""))
                    .context("a field has a tag")?;
                let kind = kind.trim().trim_end_matches(',').to_owned();
                let message = kind.contains("message").then(|| resolve(&module, rust));
                fields.push(Field {
                    name: plain(name.trim_start_matches("r#")),
                    tag: tag.trim_end_matches('"').parse()?,
                    kind,
                    message,
                    default: default.take(),
                });
            }
        }
    }
    Ok(messages)
}

fn type_name(module: &[String], name: &str) -> String {
    format!("io.k8s.{}.{}", module.join("."), name).to_ascii_lowercase()
}

/// The message named at the end of a Rust type such as `Option<super::super::meta::v1::Time>`.
fn resolve(module: &[String], rust: &str) -> String {
    // Of a map's two arguments the second is the value.
    let argument = rust.rsplit('<').next().unwrap_or_default();
    let last = argument.split([',', '>']).map(str::trim).rfind(|p| !p.is_empty()).unwrap_or_default();
    let mut at = module.to_vec();
    let steps: Vec<&str> = last.split("::").collect();
    let (name, steps) = steps.split_last().map_or(("", &[][..]), |(n, s)| (*n, s));
    for step in steps {
        match *step {
            "super" => {
                at.pop();
            }
            step => at.push(step.trim_start_matches("r#").replace('_', "-")),
        }
    }
    type_name(&at, name)
}
