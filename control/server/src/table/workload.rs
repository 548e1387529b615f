//! Rows of workload kinds: controllers of pods, jobs, templates, revisions, budgets, autoscalers. From [`super::printer`]. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Row;
use super::age::{age_at, human_duration, seconds_between, timestamp_at};
use super::autoscaler::targets;
use super::selector_text::{NONE, labels, selector, selector_or_empty};
use crate::json_field::{condition_true, flag, int_or_text, items, number, present, text};

const CREATED: &str = "/metadata/creationTimestamp";
const POD: &str = "/spec/template/spec";

pub(super) fn deployment(object: &Value, now: Timestamp) -> Row {
    let (names, images) = containers(object, POD);
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas"))),
        json!(number(object, "/status/updatedReplicas")),
        json!(number(object, "/status/availableReplicas")),
        json!(age_at(object, CREATED, now)),
        json!(names),
        json!(images),
        json!(selector_or_empty(object, "/spec/selector")),
    ])
}

pub(super) fn replica_set(object: &Value, now: Timestamp) -> Row {
    replicas(object, now, selector(object, "/spec/selector"))
}

pub(super) fn replication_controller(object: &Value, now: Timestamp) -> Row {
    replicas(object, now, labels(object, "/spec/selector"))
}

fn replicas(object: &Value, now: Timestamp, selector: String) -> Row {
    let (names, images) = containers(object, POD);
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(number(object, "/spec/replicas")),
        json!(number(object, "/status/replicas")),
        json!(number(object, "/status/readyReplicas")),
        json!(age_at(object, CREATED, now)),
        json!(names),
        json!(images),
        json!(selector),
    ])
}

pub(super) fn scale(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(number(object, "/spec/replicas")),
        json!(number(object, "/status/replicas")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Row {
    let (names, images) = containers(object, POD);
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas"))),
        json!(age_at(object, CREATED, now)),
        json!(names),
        json!(images),
    ])
}

pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Row {
    let (names, images) = containers(object, POD);
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(number(object, "/status/desiredNumberScheduled")),
        json!(number(object, "/status/currentNumberScheduled")),
        json!(number(object, "/status/numberReady")),
        json!(number(object, "/status/updatedNumberScheduled")),
        json!(number(object, "/status/numberAvailable")),
        json!(labels(object, "/spec/template/spec/nodeSelector")),
        json!(age_at(object, CREATED, now)),
        json!(names),
        json!(images),
        json!(selector(object, "/spec/selector")),
    ])
}

pub(super) fn job(object: &Value, now: Timestamp) -> Row {
    let (names, images) = containers(object, POD);
    let succeeded = number(object, "/status/succeeded");
    let parallelism = number(object, "/spec/parallelism");
    let completions = if present(object, "/spec/completions") {
        format!("{succeeded}/{}", number(object, "/spec/completions"))
    } else if parallelism > 1 {
        format!("{succeeded}/1 of {parallelism}")
    } else {
        format!("{succeeded}/1")
    };
    let duration = timestamp_at(object, "/status/startTime").map_or_else(String::new, |start| {
        let end = timestamp_at(object, "/status/completionTime").unwrap_or(now);
        human_duration(seconds_between(start, end))
    });
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(job_status(object)),
        json!(completions),
        json!(duration),
        json!(age_at(object, CREATED, now)),
        json!(names),
        json!(images),
        json!(selector_or_empty(object, "/spec/selector")),
    ])
}

fn job_status(job: &Value) -> &'static str {
    if condition_true(job, "Complete") {
        "Complete"
    } else if condition_true(job, "Failed") {
        "Failed"
    } else if present(job, "/metadata/deletionTimestamp") {
        "Terminating"
    } else if condition_true(job, "Suspended") {
        "Suspended"
    } else if condition_true(job, "FailureTarget") {
        "FailureTarget"
    } else if condition_true(job, "SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

pub(super) fn cron_job(object: &Value, now: Timestamp) -> Row {
    let (names, images) = containers(object, "/spec/jobTemplate/spec/template/spec");
    let last = if present(object, "/status/lastScheduleTime") {
        age_at(object, "/status/lastScheduleTime", now)
    } else {
        NONE.to_owned()
    };
    let suspend = match flag(object, "/spec/suspend") {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/spec/schedule")),
        json!(crate::json_field::text_or(object, "/spec/timeZone", NONE)),
        json!(suspend),
        json!(items(object, "/status/active").len()),
        json!(last),
        json!(age_at(object, CREATED, now)),
        json!(names),
        json!(images),
        json!(selector(object, "/spec/jobTemplate/spec/selector")),
    ])
}

pub(super) fn pod_template(object: &Value, _now: Timestamp) -> Row {
    let (names, images) = containers(object, "/template/spec");
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(names),
        json!(images),
        json!(labels(object, "/template/metadata/labels")),
    ])
}

pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Row {
    let controller =
        items(object, "/metadata/ownerReferences").iter().find(|owner| flag(owner, "/controller") == Some(true));
    let controller = controller.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let group = text(owner, "/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
            let dot = if group.is_empty() { "" } else { "." };
            let kind = text(owner, "/kind").to_lowercase();
            format!("{kind}{dot}{group}/{}", text(owner, "/name"))
        },
    );
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(controller),
        json!(number(object, "/revision")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn disruption_budget(object: &Value, now: Timestamp) -> Row {
    let limit = |pointer| int_or_text(object, pointer).unwrap_or_else(|| "N/A".to_owned());
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(limit("/spec/minAvailable")),
        json!(limit("/spec/maxUnavailable")),
        json!(number(object, "/status/disruptionsAllowed")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn autoscaler(object: &Value, now: Timestamp) -> Row {
    let reference =
        format!("{}/{}", text(object, "/spec/scaleTargetRef/kind"), text(object, "/spec/scaleTargetRef/name"));
    let least = int_or_text(object, "/spec/minReplicas").unwrap_or_else(|| "<unset>".to_owned());
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(reference),
        json!(targets(object)),
        json!(least),
        json!(number(object, "/spec/maxReplicas")),
        json!(number(object, "/status/currentReplicas")),
        json!(age_at(object, CREATED, now)),
    ])
}

/// Names and images of the containers of the pod spec at `pointer`.
fn containers(object: &Value, pointer: &str) -> (String, String) {
    let containers = object.pointer(pointer).map_or(&[][..], |spec| items(spec, "/containers"));
    let column = |field: &str| {
        let cells: Vec<&str> = containers.iter().map(|c| text(c, field)).collect();
        cells.join(",")
    };
    (column("/name"), column("/image"))
}
