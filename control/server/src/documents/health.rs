//! `/healthz`, `/livez`, `/readyz`: one line per check when asked, a word otherwise. From the handler; to probes and load balancers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::request::Request;

/// A store that does not answer in this time is not healthy.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers a health path; `rest` names a single check.
pub async fn serve(api: &Arc<Api>, request: &Request, rest: &[&str]) -> Answer {
    let path = request.info.path.trim_matches('/').split('/').next().unwrap_or_default().to_owned();
    let excluded: Vec<&str> = request.query.all("exclude").collect();
    let mut checks: Vec<(&str, Option<String>)> = vec![("ping", None), ("log", None)];
    checks.push(("etcd", store(api).await));
    if path == "readyz" || path == "healthz" {
        let ready = api.bootstrapped.load(Ordering::Acquire);
        checks.push(("poststarthook/rbac/bootstrap-roles", (!ready).then(|| "not finished".to_owned())));
    }
    if path == "readyz" {
        let stopping = api.stopping.is_cancelled();
        checks.push(("shutdown", stopping.then(|| "process is shutting down".to_owned())));
    }
    let single = rest.join("/");
    if !single.is_empty() {
        return match checks.into_iter().find(|(name, _)| *name == single) {
            None => answer::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            Some((_, None)) => answer::text(StatusCode::OK, "ok"),
            Some((_, Some(why))) => {
                answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n"))
            }
        };
    }
    let mut lines = String::new();
    let mut failed = false;
    for (name, result) in &checks {
        match result {
            _ if excluded.contains(name) => lines.push_str(&format!("[+]{name} excluded: ok\n")),
            None => lines.push_str(&format!("[+]{name} ok\n")),
            Some(why) => {
                tracing::debug!(check = name, why, "health check failed");
                lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                failed = true;
            }
        }
    }
    if failed {
        lines.push_str(&format!("{path} check failed\n"));
        return answer::text(StatusCode::INTERNAL_SERVER_ERROR, lines);
    }
    if request.query.get("verbose").is_some() {
        lines.push_str(&format!("{path} check passed\n"));
        return answer::text(StatusCode::OK, lines);
    }
    answer::text(StatusCode::OK, "ok")
}

async fn store(api: &Arc<Api>) -> Option<String> {
    match tokio::time::timeout(STORE_TIMEOUT, api.registry.store().health()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_elapsed) => Some("the store does not answer".to_owned()),
    }
}
