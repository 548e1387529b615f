use std::fs;
use std::io::Write as _;
use std::net::IpAddr;

use super::{AddressError, Addresses};
use crate::attachment::Attachment;

fn addresses(directory: &tempfile::TempDir, ranges: &[&str], quarantine_seconds: u64) -> Addresses {
    let ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
    Addresses { directory: directory.path().to_owned(), ranges, quarantine_seconds }
}

fn attachment(number: usize) -> Attachment {
    Attachment { container: format!("c{number}"), interface: "eth0".into() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn both_families_start_after_the_nodes_own_address() {
    let directory = tempfile::tempdir().unwrap();
    let state = addresses(&directory, &["10.0.0.0/24", "fd00::/64"], 0);
    assert_eq!(state.reserve(&attachment(1), &[], Some("a/b")).unwrap(), [ip("10.0.0.2"), ip("fd00::2")]);
    assert_eq!(state.reserve(&attachment(2), &[], None).unwrap(), [ip("10.0.0.3"), ip("fd00::3")]);
    assert_eq!(state.find(&attachment(1)).unwrap().unwrap().ips.len(), 2);
}

#[test]
fn released_addresses_come_last_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    // .2 to .6: five usable addresses.
    let state = addresses(&directory, &["10.0.0.0/29"], 0);
    for number in 1..=3 {
        state.reserve(&attachment(number), &[], None).unwrap();
    }
    state.release(&attachment(2)).unwrap();
    state.release(&attachment(1)).unwrap();
    let next: Vec<IpAddr> = (4..=7).map(|n| state.reserve(&attachment(n), &[], None).unwrap()[0]).collect();
    assert_eq!(next, [ip("10.0.0.5"), ip("10.0.0.6"), ip("10.0.0.3"), ip("10.0.0.2")]);
    let error = state.reserve(&attachment(8), &[], None).unwrap_err();
    assert!(matches!(error, AddressError::Exhausted { taken: 5, resting: 0, .. }), "{error}");
}

#[test]
fn a_released_address_rests() {
    let directory = tempfile::tempdir().unwrap();
    let state = addresses(&directory, &["10.0.0.0/30"], 3600);
    assert_eq!(state.reserve(&attachment(1), &[], None).unwrap(), [ip("10.0.0.2")]);
    state.release(&attachment(1)).unwrap();
    let error = state.reserve(&attachment(2), &[], None).unwrap_err();
    assert!(matches!(error, AddressError::Exhausted { taken: 0, resting: 1, .. }), "{error}");
    assert!(state.check_free().is_err());
    // Asked for by name, it may be had at once: whoever asks knows why.
    assert_eq!(state.reserve(&attachment(2), &[ip("10.0.0.2")], None).unwrap(), [ip("10.0.0.2")]);
}

#[test]
fn release_is_by_attachment_and_repeats() {
    let directory = tempfile::tempdir().unwrap();
    let state = addresses(&directory, &["10.0.0.0/24"], 0);
    let first = state.reserve(&attachment(1), &[], None).unwrap();
    state.release(&attachment(1)).unwrap();
    let second = state.reserve(&attachment(2), &first, None).unwrap();
    assert_eq!(first, second);
    // A second DEL of the first owner leaves the address with the second.
    state.release(&attachment(1)).unwrap();
    assert_eq!(state.find(&attachment(2)).unwrap().unwrap().ips, second);
    let error = state.reserve(&attachment(3), &first, None).unwrap_err();
    assert!(matches!(error, AddressError::Taken { .. }), "{error}");
    let error = state.reserve(&attachment(3), &[ip("10.9.0.1")], None).unwrap_err();
    assert!(matches!(error, AddressError::NotOurs { .. }), "{error}");
}

#[test]
fn a_line_cut_short_is_forgotten_and_a_damaged_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let state = addresses(&directory, &["10.0.0.0/24"], 0);
    state.reserve(&attachment(1), &[], None).unwrap();
    let path = directory.path().join("addresses.journal");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"op":"take","container":"c2""#).unwrap();
    assert_eq!(state.all().unwrap().len(), 1);
    assert!(fs::read(&path).unwrap().ends_with(b"}\n"), "the rest is gone");
    file.write_all(b"what\n").unwrap();
    let error = state.all().unwrap_err();
    assert!(matches!(error, AddressError::Damaged { line: 2, .. }), "{error}");
}

#[test]
fn the_journal_stays_short_and_keeps_the_order_of_release() {
    let directory = tempfile::tempdir().unwrap();
    let state = addresses(&directory, &["10.0.0.0/29"], 0);
    let kept = state.reserve(&attachment(0), &[], None).unwrap();
    for number in 1..1500 {
        state.reserve(&attachment(number), &[], None).unwrap();
        state.release(&attachment(number)).unwrap();
    }
    let lines = fs::read_to_string(directory.path().join("addresses.journal")).unwrap().lines().count();
    assert!(lines < 1100, "{lines} lines");
    assert_eq!(state.find(&attachment(0)).unwrap().unwrap().ips, kept);
    let next: Vec<IpAddr> = (1..=4).map(|n| state.reserve(&attachment(n), &[], None).unwrap()[0]).collect();
    let unique: std::collections::HashSet<_> = next.iter().collect();
    assert_eq!(unique.len(), 4);
}

#[test]
fn many_at_once_share_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let got: Vec<IpAddr> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|number| {
                let state = addresses(&directory, &["10.0.0.0/24"], 0);
                scope.spawn(move || {
                    let _lock = state.lock(&attachment(number)).unwrap();
                    state.reserve(&attachment(number), &[], None).unwrap()[0]
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let unique: std::collections::HashSet<_> = got.iter().collect();
    assert_eq!(unique.len(), 20);
}
