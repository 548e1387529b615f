//! Acting as somebody else by `Impersonate-*` headers, for those who are allowed to. From [`super`]; to the other filters. Pure.

use std::borrow::Cow;

use http::HeaderMap;

use crate::admission::Lister;
use crate::filters::authorize::{Action, Decision, decide, forbidden};
use crate::identity::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};
use crate::query;
use crate::status::ApiError;

const EXTRA: &str = "impersonate-extra-";

/// The user to act as; `user` itself when no header asks for another.
///
/// # Errors
/// 403 when `user` may not; 500 for groups without a user, as upstream.
pub fn impersonate(lister: &dyn Lister, user: User, headers: &HeaderMap) -> Result<User, ApiError> {
    let values = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
    };
    let name = values("impersonate-user").into_iter().next().unwrap_or_default();
    let uid = values("impersonate-uid").into_iter().next().unwrap_or_default();
    let groups: Vec<String> = values("impersonate-group").into_iter().filter(|g| !g.is_empty()).collect();
    let mut extra: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for (header, value) in headers {
        if let (Some(key), Ok(value)) = (header.as_str().strip_prefix(EXTRA), value.to_str()) {
            extra.entry(query::decode(key, false)).or_default().push(value.to_owned());
        }
    }
    if name.is_empty() {
        if groups.is_empty() && extra.is_empty() && uid.is_empty() {
            return Ok(user);
        }
        return Err(ApiError::internal("requested impersonation of groups, extra or uid without impersonating a user"));
    }
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let mut actions = vec![match account {
        Some((namespace, account)) => action("", "serviceaccounts", "", namespace, account),
        None => action("", "users", "", "", &name),
    }];
    actions.extend(groups.iter().map(|group| action("", "groups", "", "", group)));
    actions.extend((!uid.is_empty()).then(|| action("authentication.k8s.io", "uids", "", "", &uid)));
    for (key, values) in &extra {
        actions.extend(values.iter().map(|value| action("authentication.k8s.io", "userextras", key, "", value)));
    }
    for action in &actions {
        if let Decision::NoOpinion(reason) = decide(lister, &user, action) {
            return Err(forbidden(&user, action, &reason));
        }
    }
    let mut acting = User { name, uid, groups, extra };
    if let (Some((namespace, _)), true) = (account_of(&acting.name), acting.groups.is_empty()) {
        acting.groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    if acting.name == ANONYMOUS {
        if !acting.is_in(UNAUTHENTICATED) {
            acting.groups.push(UNAUTHENTICATED.to_owned());
        }
    } else if !acting.is_in(AUTHENTICATED) && !acting.is_in(UNAUTHENTICATED) {
        acting.groups.push(AUTHENTICATED.to_owned());
    }
    Ok(acting)
}

fn account_of(name: &str) -> Option<(String, String)> {
    let (namespace, account) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some((namespace.to_owned(), account.to_owned()))
}

fn action<'a>(
    group: &'a str,
    resource: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
) -> Action<'a> {
    Action {
        verb: Cow::Borrowed("impersonate"),
        is_resource: true,
        group: Cow::Borrowed(group),
        version: Cow::Borrowed("v1"),
        resource: Cow::Borrowed(resource),
        subresource: Cow::Borrowed(subresource),
        namespace: Cow::Borrowed(namespace),
        name: Cow::Borrowed(name),
        ..Action::default()
    }
}
