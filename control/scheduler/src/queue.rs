//! Pods that wait for a node: ready, pausing after a failure, or waiting for something to change. From watch events and
//! failed cycles; to the next cycle. Pure (time comes as an argument).

use crate::pending_pod::PendingPod;
use crate::plugins::{
    inter_pod_affinity, node_affinity, node_ports, node_resources_fit, node_unschedulable, pod_topology_spread,
    taint_toleration,
};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pause after the first failure; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// A pod for which nothing changed is tried again after this long: a missed event must not hold it for ever.
const GIVE_UP_WAITING: Duration = Duration::from_secs(5 * 60);

/// What changed in the cluster, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed(u32);

impl Changed {
    pub const NODE_ADDED: Self = Self(1);
    pub const NODE_RESOURCES: Self = Self(1 << 1);
    pub const NODE_LABELS: Self = Self(1 << 2);
    pub const NODE_TAINTS: Self = Self(1 << 3);
    pub const NODE_REMOVED: Self = Self(1 << 4);
    pub const POD_ADDED: Self = Self(1 << 5);
    pub const POD_REMOVED: Self = Self(1 << 6);
    pub const POD_LABELS: Self = Self(1 << 7);
    pub const NAMESPACE: Self = Self(1 << 8);
    pub const VOLUMES: Self = Self(1 << 9);
    /// Something that no plugin is known to wait for.
    pub const OTHER: Self = Self(1 << 10);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The changes that can make a plugin accept what it refused.
fn awaited_by(plugin: &str) -> Changed {
    const NEW: Changed = Changed::NODE_ADDED;
    match plugin {
        node_unschedulable::NAME | taint_toleration::NAME => NEW.and(Changed::NODE_TAINTS),
        node_affinity::NAME => NEW.and(Changed::NODE_LABELS),
        node_ports::NAME => NEW.and(Changed::POD_REMOVED),
        node_resources_fit::NAME => NEW.and(Changed::POD_REMOVED).and(Changed::NODE_RESOURCES),
        pod_topology_spread::NAME | inter_pod_affinity::NAME => NEW
            .and(Changed::NODE_LABELS)
            .and(Changed::NODE_TAINTS)
            .and(Changed::NODE_REMOVED)
            .and(Changed::POD_ADDED)
            .and(Changed::POD_REMOVED)
            .and(Changed::POD_LABELS)
            .and(Changed::NAMESPACE),
        _ => Changed(u32::MAX),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    /// Until then; `strict`: also when there is nothing else to do.
    Pausing(Instant),
    Waiting(Instant),
    Gated,
    /// In a cycle or being bound.
    Away,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<PendingPod>,
    place: Place,
    attempts: u32,
    tried: Option<Instant>,
    refused_by: Vec<&'static str>,
    strict: bool,
    order: Order,
}

/// Priority first, then first come.
type Order = (Reverse<i32>, i64, u64);

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<String, Entry>,
    ready: BTreeSet<(Order, String)>,
    pausing: BTreeSet<(Instant, String)>,
    /// Since when; many pods may be in the queue while few of them wait.
    waiting: BTreeSet<(Instant, String)>,
    next: u64,
}

impl Queue {
    /// A new pod, or a new form of one that waits; a changed pod is tried again.
    pub fn add(&mut self, pod: Arc<PendingPod>, changed: bool) {
        let uid = pod.info.uid.clone();
        self.next += 1;
        let order = (Reverse(pod.info.priority), pod.created, self.next);
        let gated = !pod.gates.is_empty();
        let Some(entry) = self.entries.get_mut(&uid) else {
            let entry = Entry {
                pod,
                place: Place::Gated,
                attempts: 0,
                tried: None,
                refused_by: Vec::new(),
                strict: false,
                order,
            };
            self.entries.insert(uid.clone(), entry);
            if !gated {
                self.put(&uid, Place::Ready);
            }
            return;
        };
        entry.pod = pod;
        match entry.place {
            Place::Away => {}
            _ if gated => self.put(&uid, Place::Gated),
            Place::Gated => self.put(&uid, Place::Ready),
            Place::Waiting(_) if changed => self.put(&uid, Place::Ready),
            Place::Ready | Place::Pausing(_) | Place::Waiting(_) => {}
        }
    }

    /// The pod is gone or has a node.
    pub fn remove(&mut self, uid: &str) {
        self.unlink(uid);
        self.entries.remove(uid);
    }

    /// A pod in the queue.
    pub fn get(&self, uid: &str) -> Option<&Arc<PendingPod>> {
        self.entries.get(uid).map(|entry| &entry.pod)
    }

    /// The pod to try next. With nothing ready, pausing pods need not pause on, except after errors.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<PendingPod>> {
        self.end_pauses(now);
        let ready = self.ready.first().map(|(_, uid)| uid.clone());
        let uid = ready.or_else(|| {
            let lax = |uid: &String| self.entries.get(uid).is_some_and(|entry| !entry.strict);
            self.pausing.iter().map(|(_, uid)| uid).find(|uid| lax(uid)).cloned()
        })?;
        self.put(&uid, Place::Away);
        let entry = self.entries.get_mut(&uid)?;
        entry.attempts = entry.attempts.saturating_add(1);
        entry.tried = Some(now);
        entry.strict = false;
        Some(Arc::clone(&entry.pod))
    }

    /// No node would do: wait until something changes that the plugins wait for.
    pub fn refused(&mut self, uid: &str, plugins: Vec<&'static str>, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.refused_by = plugins;
            self.put(uid, Place::Waiting(now));
        }
    }

    /// Something failed that is not about nodes: pause, then try again.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.strict = true;
            let until = now + pause(entry.attempts);
            self.put(uid, Place::Pausing(until));
        }
    }

    /// The cluster changed: pods that wait for such a change are tried again after their pause.
    pub fn changed(&mut self, changed: Changed) {
        let woken: Vec<(String, Place)> = self
            .waiting
            .iter()
            .filter_map(|(_, uid)| Some((uid, self.entries.get(uid)?)))
            .filter(|(_, entry)| {
                entry.refused_by.is_empty() || entry.refused_by.iter().any(|plugin| awaited_by(plugin).any(changed))
            })
            .map(|(uid, entry)| {
                let until = entry.tried.map(|tried| tried + pause(entry.attempts));
                (uid.clone(), until.map_or(Place::Ready, Place::Pausing))
            })
            .collect();
        for (uid, place) in woken {
            self.put(&uid, place);
        }
    }

    /// When [`Queue::pop`] may have something without any event.
    pub fn wake_at(&self) -> Option<Instant> {
        let pause_ends = self.pausing.first().map(|(until, _)| *until);
        let patience_ends = self.waiting.first().map(|(since, _)| *since + GIVE_UP_WAITING);
        pause_ends.into_iter().chain(patience_ends).min()
    }

    fn end_pauses(&mut self, now: Instant) {
        while let Some((until, uid)) = self.pausing.first().cloned() {
            if until > now {
                break;
            }
            self.put(&uid, Place::Ready);
        }
        while let Some((since, uid)) = self.waiting.first().cloned() {
            if since + GIVE_UP_WAITING > now {
                break;
            }
            self.put(&uid, Place::Ready);
        }
    }

    fn put(&mut self, uid: &str, place: Place) {
        self.unlink(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.place = place;
        match place {
            Place::Ready => {
                entry.order.0 = Reverse(entry.pod.info.priority);
                self.ready.insert((entry.order, uid.to_owned()));
            }
            Place::Pausing(until) => {
                self.pausing.insert((until, uid.to_owned()));
            }
            Place::Waiting(since) => {
                self.waiting.insert((since, uid.to_owned()));
            }
            Place::Gated | Place::Away => {}
        }
    }

    fn unlink(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else { return };
        match entry.place {
            Place::Ready => {
                self.ready.remove(&(entry.order, uid.to_owned()));
            }
            Place::Pausing(until) => {
                self.pausing.remove(&(until, uid.to_owned()));
            }
            Place::Waiting(since) => {
                self.waiting.remove(&(since, uid.to_owned()));
            }
            Place::Gated | Place::Away => {}
        }
    }
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(LAST_PAUSE)
}

#[cfg(test)]
mod tests;
