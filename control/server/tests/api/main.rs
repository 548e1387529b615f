//! The whole server in this process: requests through the same filters, verbs, registry and store as over TCP. Every case on every engine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::tests_outside_test_module,
    reason = "this crate is nothing but tests"
)]

mod cases;
#[expect(clippy::disallowed_methods, reason = "runs a real etcd")]
#[path = "../../../storage/src/etcd/tests/process.rs"]
mod etcd;
mod fixture;
mod kubectl;
mod servers;

/// Two tests of each case.
macro_rules! on_every_engine {
    ($($module:ident::$case:ident,)*) => {
        mod embedded {
            use crate::fixture::{Engine, Fixture};

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::$module::$case(Fixture::start(Engine::Embedded).await).await;
            })*
        }

        mod on_etcd {
            use crate::fixture::{Engine, Fixture};

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let Some(etcd) = crate::etcd::Process::start() else { return };
                crate::$module::$case(Fixture::start(Engine::Etcd(etcd)).await).await;
            })*
        }
    };
}

on_every_engine! {
    cases::objects_live_and_die,
    cases::lists_come_in_pages_of_one_state,
    cases::watches_tell_the_first_state_and_its_end,
    cases::rights_come_from_roles,
    cases::service_addresses_are_given_once_and_survive_restarts,
    cases::documents_and_health,
    kubectl::kubectl_sees_kubernetes,
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_dies_and_comes_back_under_a_watch() {
    let Some(etcd) = etcd::Process::start() else { return };
    cases::store_restarts_under_a_watch(fixture::Fixture::start(fixture::Engine::Etcd(etcd)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_are_endpoints_as_long_as_they_run() {
    let Some(etcd) = etcd::Process::start() else { return };
    let fixture = fixture::Fixture::start(fixture::Engine::Etcd(etcd)).await;
    servers::all_are_endpoints_as_long_as_they_run(fixture).await;
}
