//! Who makes a request; from authentication; to authorization, admission and audit. Pure.

use std::collections::BTreeMap;

/// A user as Kubernetes knows one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name, for instance `system:serviceaccount:default:web`.
    pub name: String,
    /// Unique id; empty when the authenticator has none.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// More facts, for instance the pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Group of everyone who proved an identity.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everyone who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Name of callers without identity.
pub const ANONYMOUS: &str = "system:anonymous";
/// Group that may do everything.
pub const MASTERS: &str = "system:masters";

impl User {
    /// A user who proved the name: is also in [`AUTHENTICATED`].
    #[must_use]
    pub fn authenticated(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        let mut user = Self { name: name.into(), groups: groups.into_iter().collect(), ..Self::default() };
        if !user.is_in(AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        user
    }

    /// A caller without identity.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// A component that runs in the server's process, for instance `system:kube-scheduler`.
    #[must_use]
    pub fn component(name: &str) -> Self {
        Self::authenticated(name, [])
    }

    /// Whether the user is in a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}
