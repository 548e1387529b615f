//! Views as text. From [`super::View`]; to the terminal. Pure.

use super::{BackendState, ServicePortView, View};

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The columns one needs.
    Narrow,
    /// All.
    Wide,
}

/// One line per Service port.
#[must_use]
pub fn list(view: &View, width: Width) -> String {
    let mut header = vec!["SERVICE", "PORT", "TYPE", "FRONTEND", "BACKENDS", "LIVE", "OPENED", "REFUSED"];
    if width == Width::Wide {
        header.extend(["ALGORITHM", "AFFINITY", "INTERNAL", "EXTERNAL"]);
    }
    let rows = view.services.iter().map(|service| {
        let mut row = vec![
            full_name(service),
            port(service),
            or_dash(&service.kind),
            frontends(service, width),
            service.backends.iter().filter(|b| takes_new(b.state)).count().to_string(),
            service.live.to_string(),
            service.opened.to_string(),
            service.refused.to_string(),
        ];
        if width == Width::Wide {
            row.extend([
                service.algorithm.to_owned(),
                affinity(service),
                service.internal_traffic_policy.to_owned(),
                service.external_traffic_policy.to_owned(),
            ]);
        }
        row
    });
    columns(&header, &rows.collect::<Vec<_>>())
}

/// Everything about the ports of one Service.
#[must_use]
pub fn detail(view: &View, width: Width) -> String {
    view.services.iter().map(|service| one(&view.node, service, width)).collect::<Vec<_>>().join("\n")
}

fn one(node: &str, service: &ServicePortView, width: Width) -> String {
    let mut text = format!(
        "Service    {}  {}  {}\nSeen by    {}\nPolicy     {}{}, internal {}, external {}\nSockets    {} connected, {} since the start, {} refused\n",
        full_name(service),
        port(service),
        or_dash(&service.kind),
        or_dash(node),
        service.algorithm,
        if service.affinity_seconds > 0 { format!(", affinity {}", affinity(service)) } else { String::new() },
        service.internal_traffic_policy,
        service.external_traffic_policy,
        service.live,
        service.opened,
        service.refused,
    );
    for frontend in &service.frontends {
        text.push_str(&format!(
            "Frontend   {}/{} ({}) -> {}\n",
            frontend.address,
            service.protocol,
            frontend.scope,
            match frontend.backends {
                0 => "nobody: refused at once".to_owned(),
                1 => "1 backend".to_owned(),
                n => format!("{n} backends"),
            },
        ));
    }
    let mut header = vec!["BACKEND", "STATE", "POD", "NODE", "LIVE", "OPENED"];
    if width == Width::Wide {
        header.push("ZONE");
    }
    let rows = service.backends.iter().map(|backend| {
        let mut row = vec![
            backend.address.to_string(),
            word(backend.state).to_owned(),
            or_dash(&backend.pod),
            or_dash(&backend.node),
            backend.live.to_string(),
            backend.opened.to_string(),
        ];
        if width == Width::Wide {
            row.push(or_dash(&backend.zone));
        }
        row
    });
    text.push_str(&columns(&header, &rows.collect::<Vec<_>>()));
    text
}

const fn takes_new(state: BackendState) -> bool {
    matches!(state, BackendState::Active | BackendState::Terminating)
}

const fn word(state: BackendState) -> &'static str {
    match state {
        BackendState::Active => "active",
        BackendState::Terminating => "terminating",
        BackendState::Draining => "draining",
        BackendState::Excluded => "excluded",
        BackendState::Unready => "unready",
    }
}

/// `namespace/name`, or what stands for it.
fn full_name(service: &ServicePortView) -> String {
    if service.namespace.is_empty() { service.name.clone() } else { format!("{}/{}", service.namespace, service.name) }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn affinity(service: &ServicePortView) -> String {
    if service.affinity_seconds == 0 { "-".to_owned() } else { format!("{}s", service.affinity_seconds) }
}

fn port(service: &ServicePortView) -> String {
    let number = service.frontends.first().map_or(0, |frontend| frontend.address.port());
    let name = if service.port_name.is_empty() { String::new() } else { format!("{}:", service.port_name) };
    format!("{name}{number}/{}", service.protocol)
}

/// The first frontend, and how many more there are.
fn frontends(service: &ServicePortView, width: Width) -> String {
    let mut addresses: Vec<String> =
        service.frontends.iter().map(|frontend| frontend.address.ip().to_string()).collect();
    addresses.dedup();
    match (width, addresses.split_first()) {
        (_, None) => "-".to_owned(),
        (Width::Narrow, Some((first, rest))) if !rest.is_empty() => format!("{first} +{}", rest.len()),
        _ => addresses.join(","),
    }
}

/// Columns as wide as their widest cell, three spaces apart, as kubectl prints them.
fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|title| title.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width_of).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("   ").trim_end())
    };
    let mut text = line(header.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}
