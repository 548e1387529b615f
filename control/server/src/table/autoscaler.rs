//! The targets cell of a horizontal pod autoscaler, of either version. From [`super::workload`]. Pure.

use serde_json::Value;

use super::selector_text::NONE;
use crate::json_field::{int_or_text, items, number, present, text};

const UNKNOWN: &str = "<unknown>";
/// Metrics shown before the rest is only counted.
const MOST: usize = 2;

/// Current and wanted value of each metric, at most two.
pub(super) fn targets(autoscaler: &Value) -> String {
    let metrics = items(autoscaler, "/spec/metrics");
    let statuses = items(autoscaler, "/status/currentMetrics");
    let mut written: Vec<String> =
        metrics.iter().enumerate().map(|(index, metric)| target(metric, statuses.get(index))).collect();
    if metrics.is_empty() && present(autoscaler, "/spec/targetCPUUtilizationPercentage") {
        written.push(cpu_of_v1(autoscaler));
    }
    if written.is_empty() {
        return NONE.to_owned();
    }
    let total = written.len();
    written.truncate(MOST);
    let shown = written.join(", ");
    if total > MOST { format!("{shown} + {} more...", total - MOST) } else { shown }
}

fn cpu_of_v1(autoscaler: &Value) -> String {
    let wanted = number(autoscaler, "/spec/targetCPUUtilizationPercentage");
    let current = percent(autoscaler, "/status/currentCPUUtilizationPercentage");
    format!("cpu: {}/{wanted}%", current.as_deref().unwrap_or(UNKNOWN))
}

fn target(metric: &Value, status: Option<&Value>) -> String {
    let kind = text(metric, "/type");
    let member = match kind {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let wanted = |field: &str| int_or_text(metric, &format!("/{member}/target/{field}"));
    let current = |field: &str| {
        status
            .and_then(|status| int_or_text(status, &format!("/{member}/current/{field}")))
            .unwrap_or_else(|| UNKNOWN.to_owned())
    };
    let average = wanted("averageValue");
    match (member, average) {
        ("resource" | "containerResource", Some(average)) => {
            let name = text(metric, &format!("/{member}/name"));
            format!("{name}: {}/{average}", current("averageValue"))
        }
        ("resource" | "containerResource", None) => {
            let name = text(metric, &format!("/{member}/name"));
            let now = status.and_then(|status| percent(status, &format!("/{member}/current/averageUtilization")));
            let goal = percent(metric, &format!("/{member}/target/averageUtilization"));
            format!("{name}: {}/{}", now.as_deref().unwrap_or(UNKNOWN), goal.as_deref().unwrap_or("<auto>"))
        }
        ("pods", average) => format!("{}/{}", current("averageValue"), average.unwrap_or_else(|| "0".to_owned())),
        (_, Some(average)) => format!("{}/{average} (avg)", current("averageValue")),
        (_, None) => format!("{}/{}", current("value"), wanted("value").unwrap_or_else(|| "0".to_owned())),
    }
}

fn percent(object: &Value, pointer: &str) -> Option<String> {
    let value = object.pointer(pointer)?.as_i64()?;
    Some(format!("{value}%"))
}
