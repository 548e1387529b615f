//! Frontend → the backend of a new connection. From sockets and packets alike; to the translation.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use skep_proxy_ebpf::{
    address::Address,
    maps::{
        backend::{Backend, CHUNK_U32, ChunkKey},
        service::{Algorithm, INLINE, ServiceKey, ServiceValue},
    },
    select::{self, Draw},
    verdict::DropReason,
};

use crate::{
    map_statics::BACKENDS,
    steps::service_lookup::{self, Lookup, compiler_barrier},
};

/// How often an element that is replaced under the reader is read again.
const ATTEMPTS: u32 = 3;

/// What a new connection gets.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    pub address: Address,
    pub port_be: u16,
    pub candidates: u32,
    pub service_id: u64,
    pub generation: u64,
}

/// What the frontend map says about a destination.
pub(crate) enum Selection {
    /// Not a Service: leave it alone.
    NotAService,
    Backend(Choice),
    /// A Service that cannot serve; the id of the Service port, 0 when there is none.
    None(DropReason, u64),
}

/// Chooses a backend for `key`. `keep` is the backend and generation a flow without connection used last: it stays while
/// it serves.
#[inline(always)]
pub(crate) fn select(key: &ServiceKey, keep: Option<(Address, u16, u64)>) -> Selection {
    for _ in 0..ATTEMPTS {
        let value = match service_lookup::find(key) {
            Lookup::Value(value) => value,
            Lookup::NotAService => return Selection::NotAService,
            Lookup::NoSuchPort => return Selection::None(DropReason::NoSuchPort, 0),
            Lookup::NoSuchService => return Selection::None(DropReason::NoSuchService, 0),
        };
        if let Some(selection) = read(value, key, keep) {
            return selection;
        }
    }
    Selection::None(DropReason::ServiceChanging, 0)
}

/// Reads a value; `None` when it changed meanwhile.
#[inline(always)]
fn read(value: *mut ServiceValue, key: &ServiceKey, keep: Option<(Address, u16, u64)>) -> Option<Selection> {
    // SAFETY: the map hands out elements that stay mapped while the program runs. They may be written meanwhile: every
    // bit pattern is valid, and `is_whole` below finds out.
    let service = unsafe { &*value };
    let generation = service.generation();
    compiler_barrier();
    let (count, service_id) = (service.count(), service.service_id());
    let selection = if count == 0 {
        let silent = service.flags() & ServiceValue::DROP_WITHOUT_BACKENDS != 0;
        Selection::None(if silent { DropReason::NoLocalBackend } else { DropReason::NoBackend }, service_id)
    } else {
        let kept = keep.filter(|(address, port_be, since)| {
            *since == generation || (!service.is_chunked() && contains(service, *address, *port_be))
        });
        let (address, port_be) = match kept {
            Some((address, port_be, _)) => (address, port_be),
            None => choose(value, service, count, generation)?,
        };
        Selection::Backend(Choice { address, port_be, candidates: count, service_id, generation })
    };
    compiler_barrier();
    (service.generation_tail() == generation && service.frontend() == key).then_some(selection)
}

#[inline(always)]
fn contains(service: &ServiceValue, address: Address, port_be: u16) -> bool {
    service.slots().iter().any(|backend| backend.port_be() == port_be && backend.address() == address)
}

/// The chosen backend; `None` when its chunk is gone, which means that the value is out of date.
#[inline(always)]
fn choose(value: *mut ServiceValue, service: &ServiceValue, count: u32, generation: u64) -> Option<(Address, u16)> {
    let algorithm = service.algorithm();
    let cursor = match algorithm {
        Algorithm::RoundRobin => {
            // Two CPUs at once may read the same cursor: they then choose the same backend, which is no harm.
            // SAFETY: the field lies inside the element.
            unsafe {
                let cursor = (*value).cursor;
                (*value).cursor = cursor.wrapping_add(1);
                cursor
            }
        }
        Algorithm::Random => 0,
    };
    // SAFETY: the helper takes nothing. Where there is nothing to choose, chance need not be asked.
    let random = if count == 1 { 0 } else { unsafe { bpf_get_prandom_u32() } };
    let index = select::index(algorithm, count, Draw { random, cursor })?;
    if !service.is_chunked() {
        let backend = service.slots().get(index as usize % INLINE)?;
        return Some((backend.address(), backend.port_be()));
    }
    let chunk = BACKENDS.get_ptr(ChunkKey::new(generation, index / CHUNK_U32))?;
    // SAFETY: as for the service's value.
    let chunk = unsafe { &*chunk };
    let whole = chunk.generation_head() == generation;
    compiler_barrier();
    let backend: &Backend = chunk.backends.get((index % CHUNK_U32) as usize)?;
    let chosen = (backend.address(), backend.port_be());
    compiler_barrier();
    (whole && chunk.generation_tail() == generation).then_some(chosen)
}
