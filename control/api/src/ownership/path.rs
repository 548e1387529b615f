//! Sets of field paths, and their written form `FieldsV1`; between managed fields and the typed operations; pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A field of an object or a key of a map: `f:name`.
    Field(String),
    /// An item of a list by its keys: `k:{"name":"a"}`; the text is canonical JSON.
    Key(String),
    /// An item of a set: `v:"a"`; the text is JSON.
    Value(String),
    /// An item by position: `i:0`.
    Index(usize),
}

impl Step {
    /// Reads the key of a `FieldsV1` object.
    fn parse(text: &str) -> Option<Self> {
        let (form, rest) = text.split_once(':')?;
        Some(match form {
            "f" => Self::Field(rest.to_owned()),
            // Brought to sorted keys and no spaces, so that equal steps are equal texts.
            "k" => Self::Key(serde_json::from_str::<Map<String, Value>>(rest).ok().map(Value::Object)?.to_string()),
            "v" => Self::Value(serde_json::from_str::<Value>(rest).ok()?.to_string()),
            "i" => Self::Index(rest.parse().ok()?),
            _ => return None,
        })
    }

    fn written(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// As conflicts show it: `.name`, `[name="a"]`, `[="a"]`, `[0]`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Key(keys) => {
                let map: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("[{}]", keys.join(","))
            }
            Self::Value(value) => format!("[={value}]"),
            Self::Index(index) => format!("[{index}]"),
        }
    }
}

/// A set of paths. A path is a member on its own; its ancestors and descendants need not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSet {
    steps: BTreeMap<Step, Below>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Below {
    member: bool,
    set: PathSet,
}

impl PathSet {
    /// Whether the set has no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.values().all(|b| !b.member && b.set.is_empty())
    }

    /// Adds a path; the empty path is no member of any set.
    pub fn insert(&mut self, path: &[Step]) {
        if let Some((first, rest)) = path.split_first() {
            let below = self.steps.entry(first.clone()).or_default();
            if rest.is_empty() {
                below.member = true;
            } else {
                below.set.insert(rest);
            }
        }
    }

    /// Whether the path of this one step is a member.
    #[must_use]
    pub fn has(&self, step: &Step) -> bool {
        self.steps.get(step).is_some_and(|b| b.member)
    }

    /// Whether a path is a member.
    #[must_use]
    pub fn contains(&self, path: &[Step]) -> bool {
        match path {
            [] => false,
            [step] => self.has(step),
            [step, rest @ ..] => self.below(step).is_some_and(|set| set.contains(rest)),
        }
    }

    /// What lies below a step.
    #[must_use]
    pub fn below(&self, step: &Step) -> Option<&Self> {
        self.steps.get(step).map(|b| &b.set).filter(|s| !s.is_empty())
    }

    /// Members of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut result = self.clone();
        for (step, below) in &other.steps {
            let here = result.steps.entry(step.clone()).or_default();
            here.member |= below.member;
            here.set = here.set.union(&below.set);
        }
        result
    }

    /// Members of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && b)
    }

    /// Members of `self` that are not members of `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && !b)
    }

    /// Takes the members of `gone` out.
    pub fn subtract(&mut self, gone: &Self) {
        for (step, theirs) in &gone.steps {
            if let Some(below) = self.steps.get_mut(step) {
                below.member &= !theirs.member;
                below.set.subtract(&theirs.set);
                if !below.member && below.set.steps.is_empty() {
                    self.steps.remove(step);
                }
            }
        }
    }

    fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        let empty = Below::default();
        let mut result = Self::default();
        for (step, below) in &self.steps {
            let theirs = other.steps.get(step).unwrap_or(&empty);
            let set = below.set.combine(&theirs.set, keep);
            let member = keep(below.member, theirs.member);
            if member || !set.is_empty() {
                result.steps.insert(step.clone(), Below { member, set });
            }
        }
        result
    }

    /// The set without the path of these fields and all that lies below it.
    #[must_use]
    pub fn without_subtree(mut self, fields: &[&str]) -> Self {
        if let Some((first, rest)) = fields.split_first() {
            let step = Step::Field((*first).to_owned());
            if rest.is_empty() {
                self.steps.remove(&step);
            } else if let Some(below) = self.steps.get_mut(&step) {
                below.set = std::mem::take(&mut below.set).without_subtree(rest);
                if !below.member && below.set.is_empty() {
                    self.steps.remove(&step);
                }
            }
        }
        self
    }

    /// Adds every step that leads somewhere and of which `is_named` says that it is a declared field; `inner` gives the context below.
    pub(super) fn with_named_fields<C: Copy>(
        &self,
        context: C,
        is_named: &impl Fn(C, &Step) -> bool,
        inner: &impl Fn(C, &Step) -> C,
    ) -> Self {
        let mut result = Self::default();
        for (step, below) in &self.steps {
            let set = below.set.with_named_fields(inner(context, step), is_named, inner);
            let member = below.member || (!set.is_empty() && is_named(context, step));
            result.steps.insert(step.clone(), Below { member, set });
        }
        result
    }

    /// All members, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<Vec<Step>> {
        let mut all = Vec::new();
        for (step, below) in &self.steps {
            if below.member {
                all.push(vec![step.clone()]);
            }
            for mut path in below.set.paths() {
                path.insert(0, step.clone());
                all.push(path);
            }
        }
        all
    }

    /// Reads `FieldsV1`; none when a key has no meaning.
    #[must_use]
    pub fn from_fields(fields: &Value) -> Option<Self> {
        let mut result = Self::default();
        for (key, value) in fields.as_object()? {
            if key == "." {
                continue;
            }
            let inner = value.as_object()?;
            let below = Below { member: inner.is_empty() || inner.contains_key("."), set: Self::from_fields(value)? };
            result.steps.insert(Step::parse(key)?, below);
        }
        Some(result)
    }

    /// Writes `FieldsV1`.
    #[must_use]
    pub fn to_fields(&self) -> Value {
        let mut map = Map::new();
        for (step, below) in self.steps.iter().filter(|(_, b)| b.member || !b.set.is_empty()) {
            let mut inner = below.set.to_fields();
            if below.member && !below.set.is_empty() {
                crate::meta::as_map_mut(&mut inner).insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(step.written(), inner);
        }
        Value::Object(map)
    }
}
