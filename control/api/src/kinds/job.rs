//! Job and `CronJob`: the generated selector, and rules in upstream's words (`pkg/apis/batch/validation`, v1.34); pure.

use serde_json::{Value, json};

use super::field_rules::{IMMUTABLE, immutable, not_negative, one_of};
use super::pod_validation::{Errors, integer, items, label_selector, text};
use super::{go_struct, workload_validation, workloads};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::strategy::{Part, Strategy};

mod cron_job;
mod failure_policy;
mod status;

#[cfg(test)]
mod tests;

pub(super) use cron_job::CronJob;

/// Labels by which a job's pods are found: newer and older name.
const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

#[derive(Debug)]
pub(super) struct Job;

impl Strategy for Job {
    fn defaults(&self, object: &mut Value) {
        workloads::JOB.defaults(object);
    }

    fn prepare_for_create(&self, job: &mut Value) {
        if job["spec"]["manualSelector"] != Value::Bool(true) {
            generate_selector(job);
        }
    }

    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn field_labels(&self) -> &'static [&'static str] {
        workloads::JOB.field_labels()
    }

    fn selectable_field(&self, object: &Value, label: &str) -> String {
        workloads::JOB.selectable_field(object, label)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        workloads::JOB.warnings(new, old)
    }

    fn validate_create(&self, job: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        generated_selector(job, &mut errors);
        job_spec(&job["spec"], &Path::new("spec"), &mut errors);
        selected(&job["spec"], &Path::new("spec"), &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if part == Part::Status {
            status::check(new, old, &mut errors);
            return errors;
        }
        errors.extend(self.validate_create(new));
        let path = Path::new("spec");
        // Upstream runs these twice on updates.
        job_spec(&new["spec"], &path, &mut errors);
        selected(&new["spec"], &path, &mut errors);
        kept(new, old, &path, &mut errors);
        errors
    }
}

/// Labels the template with the job's UID and name and selects by the UID.
fn generate_selector(job: &mut Value) {
    let (uid, name) = (meta::uid(job).to_owned(), meta::name(job).to_owned());
    let labels_of = |labels: &Value| if labels.is_null() { json!({}) } else { labels.clone() };
    let before = labels_of(&job["spec"]["template"]["metadata"]["labels"]);
    let own = labels_of(&job["metadata"]["labels"]);
    let mut labels = before.clone();
    for (keys, value) in [(NAME_LABELS, &name), (UID_LABELS, &uid)] {
        for key in keys {
            if labels.get(key).is_none() {
                labels[key] = json!(value);
            }
        }
    }
    // Labels that were taken over from the template follow it.
    if own == before || own == json!({}) {
        meta::metadata_mut(job).insert("labels".to_owned(), labels.clone());
    }
    let Some(spec) = job.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    let template = meta::map_mut(spec, "template");
    let metadata = meta::as_map_mut(template.entry("metadata").or_insert(Value::Null));
    metadata.insert("labels".to_owned(), labels);
    let selector = meta::map_mut(spec, "selector");
    let wanted = meta::as_map_mut(selector.entry("matchLabels").or_insert(Value::Null));
    let [uid_label, _] = UID_LABELS;
    wanted.entry(uid_label).or_insert_with(|| json!(uid));
}

fn generated_selector(job: &Value, errors: &mut Errors) {
    let spec = &job["spec"];
    if spec["manualSelector"] == Value::Bool(true) {
        return;
    }
    let (uid, name) = (meta::uid(job), meta::name(job));
    let labels = &spec["template"]["metadata"]["labels"];
    let at = Path::new("spec").child("template").child("metadata").child("labels");
    for (keys, expected) in [(UID_LABELS, uid), (NAME_LABELS, name)] {
        for key in keys {
            match labels.get(key).and_then(Value::as_str) {
                None => errors.push(FieldError::required(&at.key(key), format!("must be '{expected}'"))),
                Some(found) if found != expected => {
                    errors.push(FieldError::invalid(&at.key(key), labels, format!("must be '{expected}'")));
                }
                Some(_) => {}
            }
        }
    }
    let [uid_label, _] = UID_LABELS;
    if spec["selector"] != json!({"matchLabels": {uid_label: uid}}) {
        let path = Path::new("spec").child("selector");
        errors.push(FieldError::invalid(&path, &spec["selector"], "`selector` not auto-generated"));
    }
}

/// A selector is there and the template's labels meet it.
fn selected(spec: &Value, path: &Path, errors: &mut Errors) {
    let (selector, at) = (&spec["selector"], path.child("selector"));
    if selector.is_null() {
        errors.push(FieldError::required(&at, ""));
    } else {
        label_selector(selector, &at, errors);
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let meets = !selector.is_null()
        && crate::selector::LabelSelector::from_object(selector)
            .is_ok_and(|selector| selector.matches(|key| labels.get(key).and_then(Value::as_str)));
    if !meets {
        let at = path.child("template").child("metadata").child("labels");
        errors.push(FieldError::invalid(&at, labels, "`selector` does not match template `labels`"));
    }
}

/// Rules of a job's spec that also hold inside a `CronJob`.
fn job_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let numbers = ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"];
    not_negative(spec, &numbers, path, errors);
    let indexed = text(spec, "completionMode") == Some("Indexed");
    per_index(spec, indexed, path, errors);
    one_of(spec, "completionMode", &["NonIndexed", "Indexed"], true, path, errors);
    if indexed && spec["completions"].is_null() {
        errors.push(FieldError::required(&path.child("completions"), "when completion mode is Indexed"));
    }
    let policy = &spec["podFailurePolicy"];
    let replacements: &[&str] = if policy.is_null() { &["Failed", "TerminatingOrFailed"] } else { &["Failed"] };
    one_of(spec, "podReplacementPolicy", replacements, true, path, errors);
    if let Some(manager) = text(spec, "managedBy") {
        managed_by(manager, &path.child("managedBy"), errors);
    }
    if !policy.is_null() {
        failure_policy::check(spec, &path.child("podFailurePolicy"), errors);
    }
    success_policy(spec, indexed, &path.child("successPolicy"), errors);
    workload_validation::template(&spec["template"], &path.child("template"), errors);
    let at = path.child("template").child("spec").child("restartPolicy");
    match text(&spec["template"]["spec"], "restartPolicy").unwrap_or_default() {
        "" | "Always" => errors.push(FieldError::required(&at, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if !policy.is_null() => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid_text(&at, "OnFailure", detail));
        }
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(&at, &json!(other), &["OnFailure", "Never"])),
    }
}

fn per_index(spec: &Value, indexed: bool, path: &Path, errors: &mut Errors) {
    not_negative(spec, &["backoffLimitPerIndex", "maxFailedIndexes"], path, errors);
    for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        if let Some(value) = integer(spec, field)
            && !indexed
        {
            errors.push(FieldError::invalid_number(&path.child(field), value, "requires indexed completion mode"));
        }
    }
    if indexed && !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path.child("backoffLimitPerIndex"), detail));
    }
}

fn managed_by(manager: &str, path: &Path, errors: &mut Errors) {
    const MOST: usize = 63;
    super::networking::domain_prefixed_path(manager, path, errors);
    if manager.len() > MOST {
        errors.push(FieldError::too_long(path, MOST));
    }
}

fn success_policy(spec: &Value, indexed: bool, path: &Path, errors: &mut Errors) {
    let policy = &spec["successPolicy"];
    if policy.is_null() {
        return;
    }
    let rules = items(policy, "rules");
    if !indexed {
        // As upstream prints its own struct.
        let shown = format!("{{\"Rules\":{}}}", Value::from(rules.to_vec()));
        errors.push(FieldError::invalid_shown(path, shown, "requires indexed completion mode"));
        return;
    }
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&path.child("rules"), detail));
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = path.child("rules").index(index);
        not_negative(rule, &["succeededCount"], &at, errors);
        if rule["succeededCount"].is_null() && rule["succeededIndexes"].is_null() {
            let detail = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(FieldError::required(&at, detail));
        }
    }
}

/// What stays once a job is made.
fn kept(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let (spec, was) = (&new["spec"], &old["spec"]);
    let at = path.child("completions");
    if text(spec, "completionMode") == Some("Indexed") {
        let together = integer(spec, "completions") == integer(spec, "parallelism");
        if spec["completions"] != was["completions"] && !together {
            let detail = "can only be modified in tandem with spec.parallelism";
            errors.push(FieldError::invalid(&at, &spec["completions"], detail));
        }
    } else {
        immutable(&spec["completions"], &was["completions"], &at, errors);
    }
    immutable(&spec["selector"], &was["selector"], &path.child("selector"), errors);
    let started = !old["status"]["startTime"].is_null();
    let may_move = was["suspend"] == Value::Bool(true) && !started;
    if bare_template(&spec["template"], may_move) != bare_template(&was["template"], may_move) {
        let shown = go_struct::of_type("io.k8s.api.core.v1.PodTemplateSpec", &spec["template"]).compact();
        errors.push(FieldError::invalid_shown(&path.child("template"), shown, IMMUTABLE));
    }
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        immutable(&spec[field], &was[field], &path.child(field), errors);
    }
}

/// The template without what may change while the job has not begun: where its pods may go.
fn bare_template(template: &Value, may_move: bool) -> Value {
    let mut bare = template.clone();
    if may_move {
        for field in ["nodeSelector", "tolerations", "affinity", "schedulingGates"] {
            meta::map_mut(&mut bare, "spec").remove(field);
        }
        for field in ["labels", "annotations"] {
            meta::map_mut(&mut bare, "metadata").remove(field);
        }
    }
    bare
}
