//! Who writes, how, and what storage answered. From the verbs; to create, update and delete.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::seq::IndexedRandom as _;
use serde_json::Value;
use skep_api::decode::FieldValidation;
use skep_api::ownership::Writer;

use crate::identity::User;
use crate::object::Object;

/// The options of a write, checked.
#[derive(Debug)]
pub struct WriteOptions {
    /// Who writes.
    pub user: User,
    /// `dryRun=All`: do everything but store.
    pub dry_run: bool,
    /// Name of the writer in managed fields.
    pub manager: String,
    /// What to do about unknown and repeated fields.
    pub validation: FieldValidation,
    /// What the client is told in `Warning` headers.
    pub warnings: Arc<Warnings>,
}

impl WriteOptions {
    /// Options for the server's own writes.
    #[must_use]
    pub fn internal() -> Self {
        Self {
            user: User::authenticated("system:apiserver", [crate::identity::MASTERS.to_owned()]),
            dry_run: false,
            manager: "kube-apiserver".to_owned(),
            validation: FieldValidation::Ignore,
            warnings: Arc::default(),
        }
    }

    /// The writer as managed fields name it.
    #[must_use]
    pub fn writer<'a>(&'a self, api_version: &'a str, now: &'a str) -> Writer<'a> {
        Writer { manager: &self.manager, api_version, now }
    }
}

/// Texts for `Warning` headers of one request's answer, in order, each once.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Adds texts.
    pub fn add(&self, texts: impl IntoIterator<Item = String>) {
        let mut list = self.0.lock();
        for text in texts {
            if !list.contains(&text) {
                list.push(text);
            }
        }
    }

    /// All texts.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// What a write answers.
#[derive(Clone, Debug)]
pub enum Shown {
    /// An object as it is stored.
    Object(Arc<Object>),
    /// An object that is not stored (dry run, reviews, statuses), in the request's version.
    Value(Value),
}

/// The time, as objects write it.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A new UID.
#[must_use]
pub fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The end of a generated name: no vowels, so that no words appear.
#[must_use]
pub fn name_suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5).map(|_| char::from(LETTERS.choose(&mut random).copied().unwrap_or(b'x'))).collect()
}

/// `metadata.resourceVersion` and `metadata.uid` that an object must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Empty: any.
    pub uid: String,
    /// Empty: any.
    pub resource_version: String,
}
