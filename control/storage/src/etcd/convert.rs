//! Requests, answers and errors between the store's types and etcd's; both ways. Pure.

use bytes::Bytes;
use etcd_client::{
    Compare as EtcdCompare, CompareOp, DeleteOptions, Error, GetOptions, GetResponse, KeyValue as EtcdKeyValue,
    PutOptions, ResponseHeader, Txn as EtcdTxn, TxnOp, TxnOpResponse, TxnResponse as EtcdTxnResponse,
};

use crate::key::KeyRange;
use crate::store::{
    Compare, KeyValue, LeaseId, Op, OpResponse, RangeRequest, RangeResponse, Revision, StoreError, Txn, TxnResponse,
};

/// What an error is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    Range { at: Revision },
    Txn { bytes: usize, at: Revision, lease: LeaseId },
    Lease { lease: LeaseId },
    Other,
}

/// The limit that etcd has unless it is told otherwise (`--max-request-bytes`).
const DEFAULT_REQUEST_BYTES: usize = 3 << 19;

/// etcd's errors are told apart by their texts, which are part of its API.
pub(crate) fn error_of(error: &Error, request: Request) -> StoreError {
    if matches!(error, Error::InvalidArgs(_) | Error::InvalidUri(_)) {
        return StoreError::Invalid { reason: error.to_string() };
    }
    let text = if let Error::GRpcStatus(status) = error { status.message().to_owned() } else { error.to_string() };
    let (at, lease, bytes) = match request {
        Request::Range { at } => (at, LeaseId::NONE, 0),
        Request::Txn { bytes, at, lease } => (at, lease, bytes),
        Request::Lease { lease } => (0, lease, 0),
        Request::Other => (0, LeaseId::NONE, 0),
    };
    let says = |part: &str| text.contains(part);
    if says("required revision has been compacted") {
        StoreError::Compacted { compacted: at + 1 }
    } else if says("required revision is a future revision") {
        StoreError::FutureRevision { requested: at, current: at.saturating_sub(1) }
    } else if says("lease not found") {
        StoreError::LeaseNotFound { lease }
    } else if says("request is too large") || says("larger than max") {
        StoreError::TooLarge { bytes, limit: DEFAULT_REQUEST_BYTES }
    } else if says("database space exceeded") {
        StoreError::Full { reason: text }
    } else if says("duplicate key given") || says("key is not provided") || says("too many operations") {
        StoreError::Invalid { reason: text.trim_start_matches("etcdserver: ").to_owned() }
    } else {
        StoreError::Unavailable { reason: format!("etcd: {text}") }
    }
}

/// A number as etcd has it.
pub(crate) fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_too_large| StoreError::Invalid { reason: format!("{value} is not below 2^63") })
}

pub(crate) fn revision_of(header: Option<&ResponseHeader>) -> Revision {
    header.map_or(0, |header| header.revision().unsigned_abs())
}

/// The first key of a range; etcd knows no empty key.
pub(crate) fn key_of(range: &KeyRange) -> Vec<u8> {
    if range.start.is_empty() { vec![0] } else { range.start.to_vec() }
}

/// The end of a range in etcd's way: `None` for a single key, a zero byte for no end.
pub(crate) fn end_of(range: &KeyRange) -> Option<Vec<u8>> {
    if range.is_single() {
        return None;
    }
    Some(range.end.as_ref().map_or_else(|| vec![0], |end| end.to_vec()))
}

pub(crate) fn get_options(request: &RangeRequest) -> Result<GetOptions, StoreError> {
    let mut options = GetOptions::new();
    if let Some(end) = end_of(&request.range) {
        options = options.with_range(end);
    }
    if request.limit > 0 {
        options = options.with_limit(number(request.limit as u64)?);
    }
    if let Some(at) = request.at {
        options = options.with_revision(number(at)?);
    }
    if request.count_only {
        options = options.with_count_only();
    }
    Ok(options)
}

pub(crate) fn key_value(item: EtcdKeyValue) -> KeyValue {
    let create_revision = item.create_revision().unsigned_abs();
    let mod_revision = item.mod_revision().unsigned_abs();
    let version = item.version().unsigned_abs();
    let lease = LeaseId(item.lease().unsigned_abs());
    let (key, value) = item.into_key_value();
    KeyValue { key: Bytes::from(key), value: Bytes::from(value), create_revision, mod_revision, version, lease }
}

pub(crate) fn range_response(mut answer: GetResponse, count_only: bool) -> RangeResponse {
    RangeResponse {
        revision: revision_of(answer.header()),
        count: answer.count().unsigned_abs(),
        more: answer.more() && !count_only,
        items: answer.take_kvs().into_iter().map(key_value).collect(),
    }
}

pub(crate) fn txn_of(txn: Txn) -> Result<(EtcdTxn, Request), StoreError> {
    let compares = txn.compares.into_iter().map(|compare| {
        Ok(match compare {
            Compare::ModRevision { key, revision } => {
                EtcdCompare::mod_revision(key, CompareOp::Equal, number(revision)?)
            }
            Compare::Exists { key } => EtcdCompare::create_revision(key, CompareOp::Greater, 0),
            Compare::Absent { key } => EtcdCompare::create_revision(key, CompareOp::Equal, 0),
        })
    });
    let compares = compares.collect::<Result<Vec<_>, StoreError>>()?;
    let mut size = 0;
    let mut at = 0;
    let mut lease = LeaseId::NONE;
    let mut ops = |ops: Vec<Op>| {
        ops.into_iter()
            .map(|op| {
                Ok(match op {
                    Op::Put { key, value, lease: with } => {
                        size += key.len() + value.len();
                        lease = lease.max(with);
                        let options = PutOptions::new().with_lease(number(with.0)?);
                        TxnOp::put(key, value, Some(options))
                    }
                    Op::Delete { range } => {
                        let mut options = DeleteOptions::new();
                        if let Some(end) = end_of(&range) {
                            options = options.with_range(end);
                        }
                        TxnOp::delete(key_of(&range), Some(options))
                    }
                    Op::Range(request) => {
                        at = at.max(request.at.unwrap_or(0));
                        TxnOp::get(key_of(&request.range), Some(get_options(&request)?))
                    }
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()
    };
    let (success, failure) = (ops(txn.success)?, ops(txn.failure)?);
    let request = EtcdTxn::new().when(compares).and_then(success).or_else(failure);
    Ok((request, Request::Txn { bytes: size, at, lease }))
}

pub(crate) fn txn_response(answer: &EtcdTxnResponse) -> TxnResponse {
    let revision = revision_of(answer.header());
    let responses = answer.op_responses().into_iter().map(|response| match response {
        TxnOpResponse::Put(_) | TxnOpResponse::Txn(_) => OpResponse::Put,
        TxnOpResponse::Get(range) => {
            let mut range = range_response(range, false);
            range.revision = revision;
            OpResponse::Range(range)
        }
        TxnOpResponse::Delete(delete) => OpResponse::Delete { deleted: delete.deleted().unsigned_abs() },
    });
    TxnResponse { revision, succeeded: answer.succeeded(), responses: responses.collect() }
}
