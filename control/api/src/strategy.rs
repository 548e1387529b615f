//! What differs from kind to kind between decoding and storage; implemented in `kinds/<kind>.rs`; used by [`crate::object`]; pure.

use serde_json::Value;

use crate::field::FieldError;

/// The part of an object that a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The main resource.
    Whole,
    /// The subresource `status`.
    Status,
    /// Another subresource that carries the same kind, by name: `ephemeralcontainers`, `resize`, `finalize`, `approval` …
    Other(&'a str),
}

impl<'a> Part<'a> {
    /// The part named in a URL; empty for the main resource.
    #[must_use]
    pub fn from_subresource(name: &'a str) -> Self {
        match name {
            "" => Self::Whole,
            "status" => Self::Status,
            other => Self::Other(other),
        }
    }

    /// The name in URLs and in `managedFields[].subresource`; empty for the main resource.
    #[must_use]
    pub fn subresource(self) -> &'a str {
        match self {
            Self::Whole => "",
            Self::Status => "status",
            Self::Other(name) => name,
        }
    }
}

/// The rules of one kind. Everything has a default that suits a kind without rules of its own.
///
/// Objects given here are in canonical form (empty optional fields absent) and carry `apiVersion` and `kind`.
/// Order for a create: `defaults` → (managed fields) → `prepare_for_create` → admission → `validate_create`.
/// Order for an update: `defaults(new)` → (managed fields) → `prepare_for_update` → admission → `validate_update`.
/// Object metadata is prepared and validated by [`crate::object`]; implementations see to the rest only.
pub trait Strategy: Send + Sync + std::fmt::Debug {
    /// Fills in what the client left out. Called on every decoded object and again before it is stored; must be idempotent.
    fn defaults(&self, object: &mut Value) {
        drop_borrow(object);
    }

    /// Sets what clients may not choose. The generic part has already removed `status` (when [`has_status`](Self::has_status))
    /// and set `metadata.generation` to 1 (when [`has_generation`](Self::has_generation)).
    fn prepare_for_create(&self, object: &mut Value) {
        drop_borrow(object);
    }

    /// Keeps what this part of the kind may not change. The generic part has already kept the other part's fields
    /// (`Whole`: old status; `Status`: everything old but `metadata` and `status`; `Other`: nothing) and afterwards bumps `metadata.generation` when [`generation_fields`](Self::generation_fields) differ.
    fn prepare_for_update(&self, part: Part<'_>, new: &mut Value, old: &Value) {
        drop_borrow((part, new, old));
    }

    /// Rules of a new object, without object metadata.
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        drop_borrow(object);
        Vec::new()
    }

    /// Rules of a change; must include the rules of the new object itself.
    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        match part {
            Part::Whole => {
                drop_borrow(old);
                self.validate_create(new)
            }
            Part::Status | Part::Other(_) => Vec::new(),
        }
    }

    /// Warnings for the client about an accepted object.
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        drop_borrow((new, old));
        Vec::new()
    }

    /// Fields besides `metadata.name` and `metadata.namespace` that field selectors may name.
    fn field_labels(&self) -> &'static [&'static str] {
        &[]
    }

    /// The value of one of [`field_labels`](Self::field_labels). The default reads the text, number or boolean at that dotted path.
    ///
    /// `object` may lack what the labels do not speak of: for `status.phase` it has at least the scalars of `status` and all of that field.
    fn selectable_field(&self, object: &Value, label: &str) -> String {
        let mut at = object;
        for step in label.split('.') {
            match at.get(step) {
                Some(next) => at = next,
                None => return String::new(),
            }
        }
        match at {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => at.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
        }
    }

    /// What is wrong with this `metadata.name`, in upstream's words; `prefix`: a `generateName`, which may end in a dash.
    /// The default is a DNS subdomain.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        crate::name::dns_subdomain(name, prefix)
    }

    /// Whether `spec` and `status` are written apart: creates and updates of the main resource ignore `status`.
    fn has_status(&self) -> bool {
        false
    }

    /// Whether `metadata.generation` counts changes of [`generation_fields`](Self::generation_fields).
    fn has_generation(&self) -> bool {
        false
    }

    /// Top-level fields whose change by a write to this part bumps the generation.
    fn generation_fields(&self, part: Part<'_>) -> &'static [&'static str] {
        if part == Part::Status { &[] } else { &["spec"] }
    }

    /// Whether PUT and apply of an absent object create it.
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// Whether an update without `metadata.resourceVersion` is taken.
    fn allow_unconditional_update(&self) -> bool {
        true
    }

    /// Default and bounds of the grace period of a deletion, in seconds; `None`: the kind is deleted at once.
    fn grace_period_seconds(&self, object: &Value, asked: Option<i64>) -> Option<i64> {
        drop_borrow((object, asked));
        None
    }

    /// Fields (paths of names) that a write to this part never sets, so that they are kept out of `managedFields`.
    fn reset_fields(&self, part: Part<'_>) -> &'static [&'static [&'static str]] {
        match part {
            Part::Whole if self.has_status() => &[&["status"]],
            Part::Status => &[&["spec"]],
            Part::Whole | Part::Other(_) => &[],
        }
    }
}

/// Names a parameter that a default method has no use for.
fn drop_borrow<T>(_unused: T) {}

/// A kind without rules of its own.
#[derive(Debug)]
pub struct Plain;

impl Strategy for Plain {}

/// A kind without rules of its own whose `status` is a subresource and whose generation counts changes of `spec`.
#[derive(Debug)]
pub struct SpecAndStatus;

impl Strategy for SpecAndStatus {
    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }
}
