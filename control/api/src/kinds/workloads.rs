//! Deployment, ReplicaSet, ReplicationController, DaemonSet, StatefulSet, Job, CronJob: defaults around a pod template; pure.

use serde_json::{Map, Value, json};

use super::{pod_spec, pod_warnings, workload_status, workload_validation as rules};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::schema::default::{absent, absent_texts, each, object, object_at};
use crate::strategy::{Part, Strategy};

type Object = Map<String, Value>;

/// A kind with a pod template; the function fills in its `spec`.
pub(super) struct Workload {
    name: &'static str,
    defaults: fn(&mut Object),
    validate: fn(&Value, &mut Vec<FieldError>),
    /// What may not change, besides the rules of the new object itself: new, old.
    validate_update: fn(&Value, &Value, &mut Vec<FieldError>),
    /// Labels of the template become those of the object when it has none.
    labels_from_template: bool,
}

/// Where a DaemonSet still shows a counter that older versions had as a field.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn set_template_generation(object: &mut Value, generation: i64) {
    let annotations = meta::metadata_mut(object).entry("annotations").or_insert(Value::Null);
    meta::as_map_mut(annotations).insert(TEMPLATE_GENERATION.to_owned(), Value::from(generation.to_string()));
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Strategy for Workload {
    fn defaults(&self, value: &mut Value) {
        if let Some(Value::Object(spec)) = value.get_mut("spec") {
            (self.defaults)(spec);
        }
        if self.labels_from_template {
            let labels = value.get("spec").and_then(|s| s.get("template")?.get("metadata")?.get("labels")).cloned();
            if let Some(labels) = labels {
                absent(meta::metadata_mut(value), "labels", labels);
            }
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        if self.name == "DaemonSet" {
            set_template_generation(object, 1);
        }
    }

    fn prepare_for_update(&self, part: Part<'_>, new: &mut Value, old: &Value) {
        if self.name == "DaemonSet" && part == Part::Whole {
            let before = meta::annotations(old).find(|(key, _)| *key == TEMPLATE_GENERATION);
            let before: i64 = before.and_then(|(_, value)| value.parse().ok()).unwrap_or(1);
            let changed = new["spec"]["template"] != old["spec"]["template"];
            set_template_generation(new, before + i64::from(changed));
        }
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let path = Path::new("spec").child("template").child("spec");
        let before = old.map(|old| &old["spec"]["template"]["spec"]);
        pod_warnings::of_spec(&new["spec"]["template"]["spec"], before, &path)
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        (self.validate)(object, &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match part {
            Part::Whole => {
                (self.validate)(new, &mut errors);
                (self.validate_update)(new, old, &mut errors);
            }
            Part::Status => workload_status::check(self.name, new, &mut errors),
            Part::Other(_) => {}
        }
        errors
    }

    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn field_labels(&self) -> &'static [&'static str] {
        match self.name {
            "Job" => &["status.successful"],
            "ReplicationController" => &["status.replicas"],
            _ => &[],
        }
    }

    fn selectable_field(&self, value: &Value, label: &str) -> String {
        let field = if label == "status.successful" { "succeeded" } else { "replicas" };
        value.get("status").and_then(|s| s.get(field)).and_then(Value::as_i64).unwrap_or_default().to_string()
    }
}

const fn workload(
    name: &'static str,
    defaults: fn(&mut Object),
    validate: fn(&Value, &mut Vec<FieldError>),
    validate_update: fn(&Value, &Value, &mut Vec<FieldError>),
) -> Workload {
    Workload { name, defaults, validate, validate_update, labels_from_template: false }
}

pub(super) const DEPLOYMENT: Workload = workload(
    "Deployment",
    |spec| {
        pod_spec::template(spec);
        absent(spec, "replicas", 1);
        let strategy = object(spec, "strategy");
        absent_texts(strategy, &[("type", "RollingUpdate")]);
        if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate") {
            let rolling = object(strategy, "rollingUpdate");
            absent(rolling, "maxUnavailable", "25%");
            absent(rolling, "maxSurge", "25%");
        }
        absent(spec, "revisionHistoryLimit", 10);
        absent(spec, "progressDeadlineSeconds", 600);
    },
    rules::deployment,
    rules::selector_is_kept,
);

pub(super) const REPLICA_SET: Workload = workload(
    "ReplicaSet",
    |spec| {
        pod_spec::template(spec);
        absent(spec, "replicas", 1);
    },
    rules::replica_set,
    rules::selector_is_kept,
);

pub(super) const REPLICATION_CONTROLLER: Workload = Workload {
    name: "ReplicationController",
    defaults: |spec| {
        pod_spec::template(spec);
        absent(spec, "replicas", 1);
        let labels = spec.get("template").and_then(|t| t.get("metadata")?.get("labels")).cloned();
        if let Some(labels) = labels {
            absent(spec, "selector", labels);
        }
    },
    validate: rules::replication_controller,
    validate_update: |_new, _old, _errors| {},
    labels_from_template: true,
};

pub(super) const DAEMON_SET: Workload = workload(
    "DaemonSet",
    |spec| {
        pod_spec::template(spec);
        let strategy = object(spec, "updateStrategy");
        absent_texts(strategy, &[("type", "RollingUpdate")]);
        if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate") {
            let rolling = object(strategy, "rollingUpdate");
            absent(rolling, "maxUnavailable", 1);
            absent(rolling, "maxSurge", 0);
        }
        absent(spec, "revisionHistoryLimit", 10);
    },
    rules::daemon_set,
    rules::selector_is_kept,
);

pub(super) const STATEFUL_SET: Workload = workload(
    "StatefulSet",
    |spec| {
        pod_spec::template(spec);
        absent_texts(spec, &[("podManagementPolicy", "OrderedReady")]);
        let strategy = object(spec, "updateStrategy");
        absent_texts(strategy, &[("type", "RollingUpdate")]);
        if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate") {
            absent(object(strategy, "rollingUpdate"), "partition", 0);
        }
        let retention = object(spec, "persistentVolumeClaimRetentionPolicy");
        absent_texts(retention, &[("whenDeleted", "Retain"), ("whenScaled", "Retain")]);
        absent(spec, "replicas", 1);
        absent(spec, "revisionHistoryLimit", 10);
        each(spec, "volumeClaimTemplates", |claim| {
            absent_texts(claim, &[("apiVersion", "v1"), ("kind", "PersistentVolumeClaim")]);
            absent(object(claim, "spec"), "volumeMode", "Filesystem");
            absent_texts(object(claim, "status"), &[("phase", "Pending")]);
        });
    },
    rules::stateful_set,
    rules::stateful_set_update,
);

pub(super) const JOB: Workload = Workload {
    name: "Job",
    defaults: job_spec,
    validate: |job, errors| rules::template(&job["spec"]["template"], &Path::new("spec").child("template"), errors),
    validate_update: |_new, _old, _errors| {},
    labels_from_template: true,
};

fn cron_job_template(cron_job: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec").child("jobTemplate").child("spec").child("template");
    rules::template(&cron_job["spec"]["jobTemplate"]["spec"]["template"], &path, errors);
}

fn job_spec(spec: &mut Object) {
    pod_spec::template(spec);
    let given = |spec: &Object, field: &str| spec.get(field).is_some_and(|v| !v.is_null());
    if !given(spec, "parallelism") {
        if !given(spec, "completions") {
            absent(spec, "completions", 1);
        }
        absent(spec, "parallelism", 1);
    }
    let limit = if given(spec, "backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    absent(spec, "backoffLimit", limit);
    absent(spec, "completionMode", "NonIndexed");
    absent(spec, "suspend", false);
    absent(spec, "manualSelector", false);
    let replacement = if given(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    absent(spec, "podReplacementPolicy", replacement);
    object_at(spec, "podFailurePolicy", |policy| {
        each(policy, "rules", |rule| {
            each(rule, "onPodConditions", |pattern| absent_texts(pattern, &[("status", "True")]))
        });
    });
}

pub(super) const CRON_JOB: Workload = workload(
    "CronJob",
    |spec| {
        object_at(spec, "jobTemplate", |template| object_at(template, "spec", pod_spec::template));
        absent_texts(spec, &[("concurrencyPolicy", "Allow")]);
        absent(spec, "suspend", json!(false));
        absent(spec, "successfulJobsHistoryLimit", 3);
        absent(spec, "failedJobsHistoryLimit", 1);
    },
    cron_job_template,
    |_new, _old, _errors| {},
);

/// `PodTemplate`, whose template stands at the top.
#[derive(Debug)]
pub(super) struct PodTemplate;

impl Strategy for PodTemplate {
    fn defaults(&self, value: &mut Value) {
        pod_spec::template(meta::as_map_mut(value));
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        rules::template(&object["template"], &Path::new("template"), &mut errors);
        errors
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_fields(&self, _part: Part<'_>) -> &'static [&'static str] {
        &["template"]
    }
}
