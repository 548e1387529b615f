//! Reads the JSON schemas written in the sources of k8s-openapi; from its files; to [`Object`]s by type name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};

/// A node of a schema, as far as it matters here.
#[derive(Clone, Debug)]
pub enum Node {
    Text(String),
    /// A number or a truth value; none of them matters here.
    Other,
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
    /// A reference to a type, with the description that stands beside it.
    Reference(String, Option<String>),
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.get(key),
            _ => None,
        }
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Self::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// One type: its schema and, for a kind that can be listed, the kind of its list.
#[derive(Debug)]
pub struct Object {
    pub schema: Node,
    pub list_kind: Option<String>,
}

/// All types, by name (`io.k8s.api.core.v1.Pod`).
pub fn read(dir: &Path) -> anyhow::Result<BTreeMap<String, Object>> {
    let mut objects = BTreeMap::new();
    for file in crate::sources::rust_files(dir)? {
        let source = std::fs::read_to_string(&file)?;
        let Some(start) = source.find("crate::schemars::json_schema!(") else { continue };
        let Some(name) = name(&source) else { continue };
        let mut parser = Parser { rest: &source[start + "crate::schemars::json_schema!(".len()..] };
        let schema = parser.node().with_context(|| format!("{}: schema of {name}", file.display()))?;
        let list_kind = source.split_once("const LIST_KIND: &'static str = \"").and_then(|(_, r)| r.split('"').next());
        objects.insert(name, Object { schema, list_kind: list_kind.map(str::to_owned) });
    }
    Ok(objects)
}

fn name(source: &str) -> Option<String> {
    let (_, rest) = source.split_once("fn schema_name()")?;
    Some(rest.split('"').nth(1)?.to_owned())
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn node(&mut self) -> anyhow::Result<Node> {
        self.space();
        match self.rest.chars().next() {
            Some('{') => self.map(),
            Some('[') => self.list(),
            Some('"') => Ok(Node::Text(self.string()?)),
            Some('(') => {
                self.eat("(")?;
                let node = if self.rest.trim_start().starts_with('{') { self.block()? } else { self.node()? };
                self.eat(")")?;
                Ok(node)
            }
            Some('_') => Ok(Node::Reference(self.reference()?, None)),
            Some(_) => {
                let end = self.rest.find([',', '}', ']', '\n']).context("a word ends")?;
                self.rest = &self.rest[end..];
                Ok(Node::Other)
            }
            None => bail!("unexpected end"),
        }
    }

    /// `{ let mut schema_obj = …; schema_obj.ensure_object().insert("description".into(), "…".into()); schema_obj }`
    fn block(&mut self) -> anyhow::Result<Node> {
        self.eat("{")?;
        self.eat("let mut schema_obj =")?;
        let reference = self.reference()?;
        let mut description = None;
        self.eat(";")?;
        loop {
            self.space();
            if !self.rest.starts_with("schema_obj.ensure_object().insert(") {
                break;
            }
            self.eat("schema_obj.ensure_object().insert(")?;
            let key = self.string()?;
            self.eat(".into()")?;
            self.eat(",")?;
            let value = self.string()?;
            self.eat(".into()")?;
            self.eat(")")?;
            self.eat(";")?;
            if key == "description" {
                description = Some(value);
            }
        }
        self.eat("schema_obj")?;
        self.eat("}")?;
        Ok(Node::Reference(reference, description))
    }

    fn reference(&mut self) -> anyhow::Result<String> {
        self.eat("__gen.subschema_for::<crate::")?;
        let end = self.rest.find('>').context("a reference ends")?;
        let path = self.rest[..end].replace("::", ".").replace("r#", "");
        self.rest = &self.rest[end..];
        self.eat(">()")?;
        let path = path
            .replace("apiextensions_apiserver", "apiextensions-apiserver")
            .replace("kube_aggregator", "kube-aggregator");
        Ok(format!("io.k8s.{path}"))
    }

    fn map(&mut self) -> anyhow::Result<Node> {
        self.eat("{")?;
        let mut map = BTreeMap::new();
        loop {
            self.space();
            if self.rest.starts_with('}') {
                self.eat("}")?;
                return Ok(Node::Map(map));
            }
            let key = self.string()?;
            self.eat(":")?;
            map.insert(key, self.node()?);
            self.comma();
        }
    }

    fn list(&mut self) -> anyhow::Result<Node> {
        self.eat("[")?;
        let mut list = Vec::new();
        loop {
            self.space();
            if self.rest.starts_with(']') {
                self.eat("]")?;
                return Ok(Node::List(list));
            }
            list.push(self.node()?);
            self.comma();
        }
    }

    fn string(&mut self) -> anyhow::Result<String> {
        self.eat("\"")?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c @ ('"' | '\\' | '\'')) => text.push(c),
                    other => bail!("unknown escape {other:?}"),
                },
                c => text.push(c),
            }
        }
        bail!("a text does not end")
    }

    fn eat(&mut self, what: &str) -> anyhow::Result<()> {
        self.space();
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => bail!("expected {what:?} at {:?}", self.rest.chars().take(60).collect::<String>()),
        }
    }

    fn comma(&mut self) {
        self.space();
        self.rest = self.rest.strip_prefix(',').unwrap_or(self.rest);
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}
