//! Golden scripts: `testdata/*.txt` hold objects and the entries they must become, whatever the order they arrive in.
//! Then everything is deleted, again in any order, and nothing may be left. `SKEP_BLESS=1` rewrites what is expected.
//!
//! A script is a place, objects, and `=== entries`; then, as often as it likes, `=== change` with further objects (or
//! `gone:` with one that is deleted) and `=== entries`. Service ports are numbered as they are first seen (`#1`), so
//! that a script shows which frontends share counters.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::runtime::watcher::Event;
use serde_json::Value;

use super::{Line, of_service};
use crate::desired::Place;
use crate::objects::{ObjectName, Service, Slice};
use crate::reconcile::Actual;
use crate::reconcile::diff;
use crate::reconcile::wanted::Wanted;
use crate::watch::{Change, Objects};

mod differential;

const ENTRIES: &str = "=== entries\n";
const CHANGE: &str = "=== change\n";

/// Objects that arrive together, and what must be there then.
struct Stage {
    text: String,
    objects: Vec<Value>,
    expected: String,
}

struct Script {
    path: PathBuf,
    place: Place,
    stages: Vec<Stage>,
}

fn scripts() -> Vec<Script> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/entries/testdata");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<Script> = files.map(script).collect();
    scripts.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(scripts.len() >= 12);
    scripts
}

fn script(path: PathBuf) -> Script {
    let whole = fs::read_to_string(&path).unwrap();
    let mut first = None;
    let mut stages = Vec::new();
    for part in whole.split(CHANGE) {
        let (text, expected) = part.split_once(ENTRIES).unwrap_or((part, ""));
        let documents = text.split("\n---\n").filter(|text| !text.trim().is_empty());
        let parse = |text| serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut objects: Vec<Value> = documents.map(parse).collect();
        if first.is_none() {
            first = Some(place(&objects.remove(0)));
        }
        stages.push(Stage { text: text.to_owned(), objects, expected: expected.to_owned() });
    }
    Script { place: first.unwrap(), path, stages }
}

/// The first document says where the agent runs.
fn place(document: &Value) -> Place {
    let text = |field: &str| document[field].as_str().map(std::sync::Arc::from);
    let addresses =
        document["addresses"].as_array().into_iter().flatten().map(|a| a.as_str().unwrap().parse().unwrap());
    Place { node: text("node").unwrap(), zone: text("zone"), addresses: addresses.collect() }
}

/// What a document does.
fn change(object: &Value) -> Change {
    match object.get("gone") {
        Some(object) => deleted(change(object)),
        None => applied(object),
    }
}

fn applied(object: &Value) -> Change {
    let parsed = object.clone();
    match object["kind"].as_str().unwrap() {
        "Service" => {
            let service: core::Service = serde_json::from_value(parsed).unwrap();
            Change::Service(Event::Apply((ObjectName::of(&service.metadata), Service::from_api(&service))))
        }
        "EndpointSlice" => {
            let slice: discovery::EndpointSlice = serde_json::from_value(parsed).unwrap();
            Change::Slice(Event::Apply((ObjectName::of(&slice.metadata), Slice::from_api(&slice))))
        }
        other => panic!("a script has a {other}"),
    }
}

fn deleted(change: Change) -> Change {
    match change {
        Change::Service(Event::Apply((name, _))) => Change::Service(Event::Delete((name, None))),
        Change::Slice(Event::Apply((name, _))) => Change::Slice(Event::Delete((name, None))),
        other @ (Change::Service(_) | Change::Slice(_) | Change::Node(_) | Change::ServiceRange(_)) => other,
    }
}

/// An agent without a kernel.
#[derive(Default)]
struct Agent {
    known: Objects,
    wanted: Wanted,
    /// Numbers of Service ports.
    ids: HashMap<u64, usize>,
}

impl Agent {
    fn take(&mut self, change: Change, place: &Place) {
        self.known.apply(change);
        for service in self.known.take_dirty_services() {
            let entries = of_service(&self.known.tables(&service, place));
            self.wanted.replace(&service, entries);
        }
    }

    fn dump(&mut self) -> String {
        let sorted: BTreeMap<_, _> = self.wanted.iter().collect();
        let mut text = String::new();
        for (key, entry) in sorted {
            let next = self.ids.len() + 1;
            let line = Line(key, entry).to_string();
            text += &match (entry.service_id, line.split_once(" ->")) {
                (0, _) | (_, None) => format!("{line}\n"),
                (id, Some((frontend, backends))) => {
                    format!("{frontend} #{} ->{backends}\n", self.ids.entry(id).or_insert(next))
                }
            };
        }
        text
    }
}

/// The orders in which a stage's objects are tried: every rotation, forwards and backwards.
fn orders(objects: &[Value]) -> Vec<Vec<&Value>> {
    let mut orders = Vec::new();
    for start in 0..objects.len().max(1) {
        let forwards: Vec<&Value> = objects.iter().cycle().skip(start).take(objects.len()).collect();
        orders.push(forwards.iter().rev().copied().collect());
        orders.push(forwards);
    }
    orders
}

#[test]
fn scripts_hold() {
    for Script { path, place, stages } in scripts() {
        let mut agent = Agent::default();
        let mut rewritten = Vec::new();
        for (number, stage) in stages.iter().enumerate() {
            for object in &stage.objects {
                agent.take(change(object), &place);
            }
            let dumped = agent.dump();
            if std::env::var_os("SKEP_BLESS").is_some() {
                rewritten.push(format!("{}{ENTRIES}{dumped}", stage.text));
            } else {
                assert_eq!(dumped, stage.expected, "{} stage {number}", path.display());
            }
            // The same objects in other orders, after the same stages.
            for order in orders(&stage.objects) {
                let mut other = Agent { ids: agent.ids.clone(), ..Agent::default() };
                let before = stages.iter().take(number).flat_map(|stage| &stage.objects);
                for object in before.chain(order.iter().copied()) {
                    other.take(change(object), &place);
                }
                assert_eq!(other.dump(), dumped, "{} stage {number} in another order: {order:#?}", path.display());
            }
        }
        if !rewritten.is_empty() {
            fs::write(&path, rewritten.join(CHANGE)).unwrap();
        }
        let applied: Vec<Value> =
            stages.into_iter().flat_map(|s| s.objects).filter(|o| o.get("gone").is_none()).collect();
        for order in orders(&applied) {
            let mut other = Agent::default();
            for object in &applied {
                other.take(change(object), &place);
            }
            for object in order {
                other.take(deleted(change(object)), &place);
            }
            assert_eq!(other.dump(), "", "{} after everything is deleted", path.display());
        }
    }
}

#[test]
fn what_is_written_reads_back_as_the_same_entry() {
    for Script { place, stages, .. } in scripts() {
        let mut agent = Agent::default();
        for object in &stages[0].objects {
            agent.take(change(object), &place);
        }
        let keys: Vec<_> = agent.wanted.iter().map(|(key, _)| *key).collect();
        let plan = diff::plan(&keys, &agent.wanted, &HashMap::new(), true, &mut 7);
        let chunks: HashMap<_, _> = plan.chunks.iter().copied().collect();
        for write in &plan.writes {
            let backends = crate::reconcile::audit::backends(&write.value, |key| chunks.get(key).copied()).unwrap();
            let read = super::Entry::from_kernel(&write.value, backends);
            let Actual { entry, .. } = &write.actual;
            assert_eq!(Some(&read), entry.as_deref());
        }
    }
}
