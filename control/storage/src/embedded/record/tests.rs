use proptest::prelude::*;

use super::*;

#[test]
fn records_survive_encoding() {
    let records = [
        Record::Header { format: FORMAT, segment: 7, revision: u64::MAX, compacted: 0, salt: u32::MAX },
        Record::Put { key: "k".into(), value: Bytes::from(vec![1; 300]), lease: LeaseId(u64::MAX) },
        Record::Delete { key: "k".into() },
        Record::Commit { revision: 128 },
        Record::Grant { lease: LeaseId(1), ttl_seconds: 3600 },
        Record::Revoke { lease: LeaseId(1) },
        Record::Compact { revision: 127 },
        Record::Item(KeyValue {
            key: "a".into(),
            value: "".into(),
            create_revision: 1,
            mod_revision: 2,
            version: 3,
            lease: LeaseId::NONE,
        }),
        Record::End { items: 1 },
    ];
    let mut bytes = Vec::new();
    for record in &records {
        record.encode(&mut bytes);
    }
    let mut rest = bytes.as_slice();
    for record in &records {
        assert_eq!(Record::decode(&mut rest).as_ref(), Some(record));
    }
    assert!(rest.is_empty());
    for length in 0..bytes.len() {
        let mut rest = &bytes[..length];
        while Record::decode(&mut rest).is_some() {}
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rest = bytes.as_slice();
        while Record::decode(&mut rest).is_some() {}
    }
}
