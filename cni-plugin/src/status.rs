//! STATUS: could an ADD work now? From [`crate::request`]; to [`crate::address`] and [`crate::pod_map`].

use crate::address::{AddressError, Addresses};
use crate::pod_map::{PodMap, PodMapError};
use crate::request::Request;
use crate::response::Failure;

/// Why an ADD would not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    #[error("pods cannot be given a network now")]
    Datapath(#[source] PodMapError),
    #[error("pods cannot be given an address now")]
    Address(#[source] AddressError),
}

/// Answers STATUS.
pub(crate) fn run(request: &Request) -> Result<(), Failure> {
    let pod_map = PodMap::open(&request.network.pin_dir).map_err(StatusError::Datapath)?;
    pod_map.check_programs().map_err(StatusError::Datapath)?;
    let addresses = Addresses::open(&request.network).map_err(StatusError::Address)?;
    addresses.check_free().map_err(StatusError::Address)?;
    Ok(())
}
