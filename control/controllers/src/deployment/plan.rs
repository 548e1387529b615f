//! Decides the next step of a rollout. From [`super`]; to its executor. Pure.
//!
//! One round does one thing (create, scale up, scale down old sets, or clean up) and then writes the status, as
//! pkg/controller/deployment of Kubernetes v1.34 does: the events of that step bring the next round.

use super::revision::{self, DESIRED_REPLICAS, MAX_REPLICAS, REVISION};
use super::sets::{self, Set};
use super::status;
use crate::owners::controller_reference;
use crate::template_hash::{POD_TEMPLATE_HASH, template_hash};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// One request to the API server.
#[derive(Debug)]
pub enum Operation {
    /// Merge these annotations into the deployment's.
    SetRevision(Map<String, Value>),
    /// Create the set of the current template.
    Create(Box<ReplicaSet>),
    /// Merge-patch a set; report `event`.
    Change { set: Arc<ReplicaSet>, patch: Value, event: Option<String> },
    /// Delete a set of the history.
    Delete(Arc<ReplicaSet>),
    /// Write the deployment's status.
    Status(Box<DeploymentStatus>),
}

/// A deployment and its sets.
#[derive(Debug)]
pub struct Rollout<'a> {
    pub deployment: &'a Deployment,
    /// The set of the current template.
    pub new: Option<Set>,
    /// All others, oldest first.
    pub others: Vec<Set>,
    pub now: Time,
}

impl<'a> Rollout<'a> {
    /// Tells the current set from the others.
    pub fn new(deployment: &'a Deployment, mut objects: Vec<Arc<ReplicaSet>>, now: Time) -> Self {
        objects.sort_by(|a, b| sets::by_age(a, b));
        let new = sets::find_new(deployment, &objects);
        let uid = new.as_ref().and_then(|set| set.metadata.uid.clone());
        let others = objects.into_iter().filter(|set| uid.is_none() || set.metadata.uid != uid).map(Set::new).collect();
        Self { deployment, new: new.map(Set::new), others, now }
    }

    /// The sets of earlier templates.
    pub fn old(&self) -> impl Iterator<Item = &Set> {
        self.others.iter()
    }

    /// All sets.
    pub fn all(&self) -> impl Iterator<Item = &Set> {
        self.others.iter().chain(&self.new)
    }

    fn wanted(&self) -> i32 {
        sets::replicas(self.deployment)
    }

    fn total(&self) -> i32 {
        self.all().map(|set| set.replicas).sum()
    }
}

/// The requests of this round, in order. `old_pods_run` says whether any pod of an old set has not ended.
pub fn operations(rollout: &Rollout<'_>, old_pods_run: impl FnOnce() -> bool) -> Vec<Operation> {
    let mut plan = Planning { operations: Vec::new(), created: None };
    let deployment = rollout.deployment;
    if deployment.metadata.deletion_timestamp.is_some() {
        plan.status(status::counted(rollout), rollout);
        return plan.operations;
    }
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    if paused || is_scaled(rollout) {
        plan.sync_revision(rollout);
        plan.rescale(rollout);
        if paused {
            plan.clean_up(rollout);
        }
        plan.status(status::counted(rollout), rollout);
    } else {
        if sets::is_recreate(deployment) {
            plan.recreate(rollout, old_pods_run);
        } else {
            plan.roll(rollout);
        }
        let status = status::rolled(rollout, plan.created.as_deref());
        plan.status(status, rollout);
    }
    plan.operations
}

/// Whether the deployment's replicas changed since its sets were last scaled.
fn is_scaled(rollout: &Rollout<'_>) -> bool {
    rollout.all().filter(|set| set.replicas > 0).any(|set| {
        let desired = set.annotation(DESIRED_REPLICAS).and_then(|desired| desired.parse::<i32>().ok());
        desired.is_some_and(|desired| desired != rollout.wanted())
    })
}

struct Planning {
    operations: Vec<Operation>,
    /// Name of the set that this round creates.
    created: Option<String>,
}

impl Planning {
    fn status(&mut self, status: DeploymentStatus, rollout: &Rollout<'_>) {
        if rollout.deployment.status.as_ref() != Some(&status) {
            self.operations.push(Operation::Status(Box::new(status)));
        }
    }

    /// Keeps the annotations of the current set and the deployment's revision right.
    fn sync_revision(&mut self, rollout: &Rollout<'_>) {
        let Some(new) = &rollout.new else { return };
        let revision = revision::next(&rollout.others);
        let annotations = revision::changes(rollout.deployment, new, revision);
        let min_ready = rollout.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let has_min_ready = new.object.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        if !annotations.is_empty() || min_ready != has_min_ready {
            let mut patch = json!({"metadata": {"annotations": annotations}});
            if min_ready != has_min_ready {
                patch["spec"] = json!({"minReadySeconds": min_ready});
            }
            self.operations.push(Operation::Change { set: Arc::clone(&new.object), patch, event: None });
        }
        self.set_revision(rollout.deployment, revision.max(revision::of(new)));
    }

    fn set_revision(&mut self, deployment: &Deployment, revision: i64) {
        let revision = revision.to_string();
        let annotations = deployment.metadata.annotations.as_ref();
        if annotations.and_then(|annotations| annotations.get(REVISION)) != Some(&revision) {
            let changes = Map::from_iter([(REVISION.to_owned(), Value::String(revision))]);
            self.operations.push(Operation::SetRevision(changes));
        }
    }

    /// Makes the set of the current template.
    fn create(&mut self, rollout: &Rollout<'_>) {
        let deployment = rollout.deployment;
        let Some(spec) = &deployment.spec else { return };
        let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
        let hash = template_hash(&spec.template, collisions);
        let name = format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default());
        let mut template = spec.template.clone();
        let mut labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        labels.insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
        template.metadata.get_or_insert_default().labels = Some(labels.clone());
        let mut selector = spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH.to_owned(), hash);
        let revision = revision::next(&rollout.others);
        let mut annotations = revision::copied(deployment);
        annotations.insert(REVISION.to_owned(), revision.to_string());
        annotations.extend(replica_annotations(deployment));
        let set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: deployment.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: Some(annotations),
                owner_references: Some(vec![controller_reference(deployment)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(new_replicas(rollout, 0)),
                min_ready_seconds: spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        };
        self.operations.push(Operation::Create(Box::new(set)));
        self.created = Some(name);
        self.set_revision(deployment, revision);
    }

    fn scale(&mut self, rollout: &Rollout<'_>, set: &mut Set, replicas: i32) {
        let before = std::mem::replace(&mut set.replicas, replicas);
        let annotations: Map<String, Value> = replica_annotations(rollout.deployment)
            .into_iter()
            .filter(|(key, value)| set.annotation(key) != Some(value.as_str()))
            .map(|(key, value)| (key, Value::String(value)))
            .collect();
        if before == replicas && annotations.is_empty() {
            return;
        }
        let direction = if before < replicas { "up" } else { "down" };
        let event = (before != replicas)
            .then(|| format!("Scaled {direction} replica set {} from {before} to {replicas}", set.name()));
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}});
        self.operations.push(Operation::Change { set: Arc::clone(&set.object), patch, event });
    }

    /// Spreads a changed number of replicas over the sets.
    fn rescale(&mut self, rollout: &Rollout<'_>) {
        let wanted = rollout.wanted();
        let active: Vec<&Set> = rollout.all().filter(|set| set.replicas > 0).collect();
        let single = match active.as_slice() {
            [] => rollout.new.as_ref().or_else(|| rollout.others.last()),
            [only] => Some(*only),
            _ => None,
        };
        if let Some(single) = single {
            if single.replicas != wanted {
                self.scale(rollout, &mut single.clone(), wanted);
            }
            return;
        }
        if rollout.new.as_ref().is_some_and(|new| is_saturated(rollout, new)) {
            for set in rollout.old().filter(|set| set.replicas > 0) {
                self.scale(rollout, &mut set.clone(), 0);
            }
            return;
        }
        if !sets::is_recreate(rollout.deployment) {
            self.rescale_in_proportion(rollout, active.into_iter().cloned().collect());
        }
    }

    fn rescale_in_proportion(&mut self, rollout: &Rollout<'_>, mut active: Vec<Set>) {
        let wanted = rollout.wanted();
        let (surge, _) = sets::limits(rollout.deployment);
        let allowed = if wanted > 0 { wanted.saturating_add(surge) } else { 0 };
        let to_add = allowed - active.iter().map(|set| set.replicas).sum::<i32>();
        // The largest sets first; among equals the newer grow and the older shrink first.
        active.sort_by(|a, b| {
            let age = sets::by_age(&a.object, &b.object);
            b.replicas.cmp(&a.replicas).then(if to_add > 0 { age.reverse() } else { age })
        });
        let mut added = 0;
        let mut sizes = Vec::new();
        for set in &active {
            let share = share(rollout, set, to_add, added);
            sizes.push(set.replicas + share);
            added += share;
        }
        if let Some(largest) = sizes.first_mut() {
            *largest = (*largest + to_add - added).max(0);
        }
        for (mut set, size) in active.into_iter().zip(sizes) {
            self.scale(rollout, &mut set, size);
        }
    }

    /// A step of a rolling update.
    fn roll(&mut self, rollout: &Rollout<'_>) {
        self.sync_revision(rollout);
        let Some(new) = &rollout.new else {
            self.create(rollout);
            return;
        };
        let wanted = rollout.wanted();
        let size = if new.replicas > wanted { wanted } else { new_replicas(rollout, new.replicas) };
        if size != new.replicas {
            self.scale(rollout, &mut new.clone(), size);
            return;
        }
        if !self.shrink_old(rollout, new) && status::is_complete_now(rollout.deployment) {
            self.clean_up(rollout);
        }
    }

    /// Takes pods from old sets as far as availability allows, first those that are not available anyway.
    fn shrink_old(&mut self, rollout: &Rollout<'_>, new: &Set) -> bool {
        let min_available = rollout.wanted() - sets::max_unavailable(rollout.deployment);
        let new_unavailable = new.replicas - new.available();
        let mut budget = rollout.total() - min_available - new_unavailable;
        let mut old = rollout.others.clone();
        if budget <= 0 || old.iter().all(|set| set.replicas == 0) {
            return false;
        }
        for set in &mut old {
            let unhealthy = (set.replicas - set.available()).clamp(0, budget.max(0));
            budget -= unhealthy;
            set.replicas -= unhealthy;
        }
        let available: i32 = rollout.all().map(Set::available).sum();
        let mut surplus = available - min_available;
        for set in &mut old {
            let healthy = set.replicas.clamp(0, surplus.max(0));
            surplus -= healthy;
            set.replicas -= healthy;
        }
        let mut shrunk = false;
        for (before, after) in rollout.others.iter().zip(old) {
            if before.replicas != after.replicas {
                self.scale(rollout, &mut before.clone(), after.replicas);
                shrunk = true;
            }
        }
        shrunk
    }

    /// A step of a deployment that ends old pods before it starts new ones.
    fn recreate(&mut self, rollout: &Rollout<'_>, old_pods_run: impl FnOnce() -> bool) {
        self.sync_revision(rollout);
        let active: Vec<&Set> = rollout.old().filter(|set| set.replicas > 0).collect();
        if !active.is_empty() {
            for set in active {
                self.scale(rollout, &mut set.clone(), 0);
            }
            return;
        }
        if old_pods_run() {
            return;
        }
        match &rollout.new {
            None => self.create(rollout),
            Some(new) if new.replicas != rollout.wanted() => self.scale(rollout, &mut new.clone(), rollout.wanted()),
            Some(_) if status::is_complete_now(rollout.deployment) => self.clean_up(rollout),
            Some(_) => {}
        }
    }

    /// Deletes the oldest idle sets beyond the history limit.
    fn clean_up(&mut self, rollout: &Rollout<'_>) {
        let limit = rollout.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(i32::MAX);
        let mut old: Vec<&Set> = rollout.old().filter(|set| set.object.metadata.deletion_timestamp.is_none()).collect();
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by_key(|set| revision::of(set));
        for set in old.into_iter().take(surplus) {
            let generation = set.object.metadata.generation.unwrap_or(0);
            let observed = set.object.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
            if set.actual() == 0 && set.replicas == 0 && generation <= observed {
                self.operations.push(Operation::Delete(Arc::clone(&set.object)));
            }
        }
    }
}

fn replica_annotations(deployment: &Deployment) -> [(String, String); 2] {
    let wanted = sets::replicas(deployment);
    let (surge, _) = sets::limits(deployment);
    [
        (DESIRED_REPLICAS.to_owned(), wanted.to_string()),
        (MAX_REPLICAS.to_owned(), wanted.saturating_add(surge).to_string()),
    ]
}

/// Replicas that the current set may have now; it has `current`.
fn new_replicas(rollout: &Rollout<'_>, current: i32) -> i32 {
    let wanted = rollout.wanted();
    if sets::is_recreate(rollout.deployment) {
        return wanted;
    }
    let (surge, _) = sets::limits(rollout.deployment);
    let room = wanted.saturating_add(surge) - rollout.total();
    if room <= 0 { current } else { current + room.min(wanted - current) }
}

fn is_saturated(rollout: &Rollout<'_>, new: &Set) -> bool {
    let wanted = rollout.wanted();
    let desired = new.annotation(DESIRED_REPLICAS).and_then(|desired| desired.parse::<i32>().ok());
    new.replicas == wanted && desired == Some(wanted) && new.available() == wanted
}

/// The part of `to_add` replicas that is due to `set`, of which `added` went to others.
fn share(rollout: &Rollout<'_>, set: &Set, to_add: i32, added: i32) -> i32 {
    if set.replicas == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let wanted = rollout.wanted();
    let due = if wanted == 0 {
        -set.replicas
    } else {
        let (surge, _) = sets::limits(rollout.deployment);
        let max = i64::from(wanted.saturating_add(surge));
        let max_before = set.annotation(MAX_REPLICAS).and_then(|max| max.parse::<i64>().ok());
        let actual = rollout.deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
        let max_before = max_before.unwrap_or_else(|| i64::from(actual)).max(1);
        let size = (i64::from(set.replicas) * max * 2 + max_before) / (2 * max_before);
        i32::try_from(size).unwrap_or(i32::MAX) - set.replicas
    };
    let allowed = to_add - added;
    if to_add > 0 { due.min(allowed) } else { due.max(allowed) }
}

#[cfg(test)]
mod tests;
