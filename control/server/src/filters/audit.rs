//! One log line for every finished request (target `audit`), and the counters of `/metrics`. From the verbs; to the log.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::request_info::RequestInfo;

/// Names of resources and verbs come from outside: so many of them are counted.
const MAX_RESOURCES: usize = 1000;
/// Verbs and codes counted of one resource.
const MAX_SERIES: usize = 100;

/// Counts of finished requests, and seconds spent on them, by resource (empty: not about one).
#[derive(Debug, Default)]
pub struct Counters(Mutex<HashMap<String, Vec<Series>>>);

/// The requests about one resource with one verb and one answer.
#[derive(Debug)]
struct Series {
    verb: String,
    code: u16,
    count: u64,
    seconds: f64,
}

impl Counters {
    /// Notes a finished (for watches and streams: begun) request.
    pub fn finished(&self, user: &str, info: &RequestInfo, code: u16, took: Duration) {
        tracing::debug!(
            target: "audit", user, verb = &*info.verb, path = info.path, code, took_ms = took.as_secs_f64() * 1e3, "request"
        );
        let resource = if info.is_resource { info.resource.as_str() } else { "" };
        let mut all = self.0.lock();
        if !all.contains_key(resource) {
            if all.len() >= MAX_RESOURCES {
                return;
            }
            all.insert(resource.to_owned(), Vec::new());
        }
        let Some(of_resource) = all.get_mut(resource) else { return };
        let known = of_resource.iter_mut().find(|s| s.code == code && s.verb.eq_ignore_ascii_case(&info.verb));
        if let Some(series) = known {
            series.count += 1;
            series.seconds += took.as_secs_f64();
        } else if of_resource.len() < MAX_SERIES {
            let verb = info.verb.to_uppercase();
            of_resource.push(Series { verb, code, count: 1, seconds: took.as_secs_f64() });
        }
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
        let all = self.0.lock();
        let mut lines: Vec<(String, u64, f64)> = Vec::new();
        for (resource, of_resource) in &*all {
            for Series { verb, code, count, seconds } in of_resource {
                let labels = format!("{{verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"}}");
                lines.push((labels, *count, *seconds));
            }
        }
        drop(all);
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        for (labels, count, seconds) in lines {
            text.push_str(&format!("apiserver_request_total{labels} {count}\n"));
            sums.push_str(&format!("apiserver_request_duration_seconds_sum{labels} {seconds}\n"));
        }
        text + &sums
    }
}
