//! One log line for every finished request (target `audit`), and the counters of `/metrics`. From the verbs; to the log.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::request_info::RequestInfo;

/// Verb, resource and code of finished requests.
type Series = (String, String, u16);

/// Counts of finished requests, and seconds spent on them.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<Series, (u64, f64)>>);

impl Counters {
    /// Notes a finished (for watches and streams: begun) request.
    pub fn finished(&self, user: &str, info: &RequestInfo, code: u16, took: Duration) {
        tracing::debug!(
            target: "audit", user, verb = &*info.verb, path = info.path, code, took_ms = took.as_secs_f64() * 1e3, "request"
        );
        let resource = if info.is_resource { info.resource.clone() } else { String::new() };
        let mut counts = self.0.lock();
        let entry = counts.entry((info.verb.to_uppercase(), resource, code)).or_default();
        entry.0 += 1;
        entry.1 += took.as_secs_f64();
    }

    /// The counters as Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text =
            String::from("# HELP apiserver_request_total Finished requests.\n# TYPE apiserver_request_total counter\n");
        let mut sums = String::from(
            "# HELP apiserver_request_duration_seconds_sum Time spent on finished requests.\n\
             # TYPE apiserver_request_duration_seconds_sum counter\n",
        );
        for ((verb, resource, code), (count, seconds)) in &*self.0.lock() {
            let labels = format!("{{verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"}}");
            text.push_str(&format!("apiserver_request_total{labels} {count}\n"));
            sums.push_str(&format!("apiserver_request_duration_seconds_sum{labels} {seconds}\n"));
        }
        text + &sums
    }
}
