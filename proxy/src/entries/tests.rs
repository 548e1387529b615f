//! Golden scripts: `testdata/*.txt` hold objects and the entries they must become, whatever the order they arrive in.
//! Then everything is deleted and nothing may be left. `SKEP_BLESS=1` rewrites what is expected.

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

const ENTRIES: &str = "=== entries\n";

struct Script {
    path: PathBuf,
    input: String,
    expected: String,
}

fn scripts() -> Vec<Script> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/entries/testdata");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<Script> = files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let (input, expected) = text.split_once(ENTRIES).unwrap_or((&text, ""));
            Script { path, input: input.to_owned(), expected: expected.to_owned() }
        })
        .collect();
    scripts.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!scripts.is_empty());
    scripts
}

/// The first document says where the agent runs.
fn place(document: &Value) -> Place {
    let text = |field: &str| document[field].as_str().map(std::sync::Arc::from);
    let addresses =
        document["addresses"].as_array().into_iter().flatten().map(|a| a.as_str().unwrap().parse().unwrap());
    Place { node: text("node").unwrap(), zone: text("zone"), addresses: addresses.collect() }
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

fn settle(objects: &mut Objects, wanted: &mut Wanted, place: &Place) {
    for service in objects.take_dirty_services() {
        let entries = of_service(&objects.tables(&service, place));
        wanted.replace(&service, entries);
    }
}

fn dump(wanted: &Wanted) -> String {
    let sorted: BTreeMap<_, _> = wanted.iter().collect();
    sorted.into_iter().map(|(key, entry)| format!("{}\n", Line(key, entry))).collect()
}

/// What the agent would hold after these changes, one by one.
fn play(objects: &[Value], place: &Place) -> (Objects, Wanted) {
    let (mut known, mut wanted) = (Objects::default(), Wanted::default());
    for object in objects {
        known.apply(applied(object));
        settle(&mut known, &mut wanted, place);
    }
    (known, wanted)
}

#[test]
fn scripts_hold() {
    for script in scripts() {
        let documents: Vec<Value> = script
            .input
            .split("\n---\n")
            .filter(|text| !text.trim().is_empty())
            .map(|text| serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{}: {e}", script.path.display())))
            .collect();
        let (first, objects) = documents.split_first().unwrap();
        let place = place(first);

        let (mut known, mut wanted) = play(objects, &place);
        let dumped = dump(&wanted);
        if std::env::var_os("SKEP_BLESS").is_some() {
            fs::write(&script.path, format!("{}{ENTRIES}{dumped}", script.input)).unwrap();
        } else {
            assert_eq!(dumped, script.expected, "{}", script.path.display());
        }

        let reversed: Vec<Value> = objects.iter().rev().cloned().collect();
        assert_eq!(dump(&play(&reversed, &place).1), dumped, "{} in reverse", script.path.display());

        for object in objects {
            known.apply(deleted(applied(object)));
            settle(&mut known, &mut wanted, &place);
        }
        assert_eq!(dump(&wanted), "", "{} after everything is deleted", script.path.display());
    }
}

#[test]
fn what_is_written_reads_back_as_the_same_entry() {
    for script in scripts() {
        let documents = script.input.split("\n---\n").filter(|text| !text.trim().is_empty());
        let documents: Vec<Value> = documents.map(|text| serde_saphyr::from_str(text).unwrap()).collect();
        let (first, objects) = documents.split_first().unwrap();
        let (_, wanted) = play(objects, &place(first));
        let keys: Vec<_> = wanted.iter().map(|(key, _)| *key).collect();
        let plan = diff::plan(&keys, &wanted, &HashMap::new(), true, &mut 7);
        let chunks: HashMap<_, _> = plan.chunks.iter().copied().collect();
        for write in &plan.writes {
            let backends = crate::reconcile::audit::backends(&write.value, &chunks).unwrap();
            let read = super::Entry::from_kernel(&write.value, backends);
            let Actual { entry, .. } = &write.actual;
            assert_eq!(Some(&read), entry.as_deref());
        }
    }
}
