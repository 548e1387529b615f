//! A figure, its goal, and the table of all. Pure.

use std::fmt;

use serde_json::json;

/// What a goal asks of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Reported for the record.
    None,
}

impl Goal {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(value >= bound),
            Self::AtMost(bound) => Some(value <= bound),
            Self::None => None,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::None => f.write_str("–"),
        }
    }
}

/// One measured value.
#[derive(Debug)]
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    goal: Goal,
    /// Between which half of the rounds lay, where there are rounds.
    spread: Option<[f64; 2]>,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} {}", self.value, self.unit)?;
        match self.spread {
            Some([low, high]) => write!(f, " ({low:.3}–{high:.3})"),
            None => Ok(()),
        }
    }
}

/// All figures of a run.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { machine: machine(), figures: Vec::new() }
    }

    /// Takes a figure in, and shows it at once.
    pub(crate) fn add(&mut self, name: &'static str, value: f64, unit: &'static str, goal: Goal) {
        self.take(Figure { name, value, unit, goal, spread: None });
    }

    /// The same of the ratios of many rounds: their median, and the quartiles around it.
    pub(crate) fn add_ratios(&mut self, name: &'static str, rounds: &[f64], goal: Goal) {
        let spread = Some([0.25, 0.75].map(|share| quantile(rounds.to_vec(), share)));
        self.take(Figure { name, value: median(rounds.to_vec()), unit: "×", goal, spread });
    }

    fn take(&mut self, figure: Figure) {
        eprintln!("{}: {figure} (goal {})", figure.name, figure.goal);
        self.figures.push(figure);
    }

    /// `[{name, value, unit, goal, met, machine}]`
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|f| {
                let goal = match f.goal {
                    Goal::None => None,
                    Goal::AtLeast(_) | Goal::AtMost(_) => Some(f.goal.to_string()),
                };
                json!({"name": f.name, "value": f.value, "unit": f.unit, "goal": goal, "met": f.goal.is_met(f.value), "machine": self.machine})
            })
            .collect();
        Ok(serde_json::to_string_pretty(&figures)?)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine: {}\n\n| what | value | goal | met |\n|---|---|---|---|", self.machine)?;
        for figure in &self.figures {
            let met = match figure.goal.is_met(figure.value) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            writeln!(f, "| {} | {figure} | {} | {met} |", figure.name, figure.goal)?;
        }
        Ok(())
    }
}

/// Processor, cores, memory, kernel.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model =
        cpu.lines().find_map(|l| l.strip_prefix("model name")).map_or("?", |l| l.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let kib: u64 =
        memory.lines().next().and_then(|l| l.split_whitespace().nth(1)).and_then(|n| n.parse().ok()).unwrap_or(0);
    format!("{model}, {cores} cores, {} GiB, Linux {}", kib / (1024 * 1024), read("/proc/sys/kernel/osrelease").trim())
}

/// The middle of the values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value that `share` (0…1) of all do not exceed.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a short list"
    )]
    let index = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(median(values.clone()).round(), 51.0);
        assert_eq!(quantile(values.clone(), 0.99).round(), 99.0);
        assert_eq!(quantile(values, 1.0).round(), 100.0);
        assert!(quantile(Vec::new(), 0.5).is_nan());
    }
}
