//! `CronJob`; pure.

use super::*;

/// Room for the time that is appended to the names of jobs.
const MOST_NAME: usize = 52;

#[derive(Debug)]
pub(in crate::kinds) struct CronJob;

impl Strategy for CronJob {
    fn defaults(&self, object: &mut Value) {
        workloads::CRON_JOB.defaults(object);
    }

    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if meta::name(object).len() > MOST_NAME {
            let at = Path::new("metadata").child("name");
            let detail = format!("must be no more than {MOST_NAME} characters");
            errors.push(FieldError::invalid_text(&at, meta::name(object), detail));
        }
        let (spec, path) = (&object["spec"], Path::new("spec"));
        match text(spec, "schedule").unwrap_or_default() {
            "" => errors.push(FieldError::required(&path.child("schedule"), "")),
            schedule => {
                if let Some(problem) = schedule_problem(schedule) {
                    errors.push(FieldError::invalid_text(&path.child("schedule"), schedule, problem));
                }
            }
        }
        if let Some(zone) = text(spec, "timeZone") {
            time_zone(zone, &path.child("timeZone"), &mut errors);
        }
        let numbers = ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
        not_negative(spec, &numbers, &path, &mut errors);
        let policies = &["Allow", "Forbid", "Replace"];
        if text(spec, "concurrencyPolicy").unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&path.child("concurrencyPolicy"), ""));
        } else {
            one_of(spec, "concurrencyPolicy", policies, false, &path, &mut errors);
        }
        let at = path.child("jobTemplate").child("spec");
        let job = &spec["jobTemplate"]["spec"];
        if job["manualSelector"] == Value::Bool(true) {
            let error = FieldError::not_supported(&at.child("manualSelector"), &Value::Bool(true), &["nil", "false"]);
            errors.push(error);
        }
        job_spec(job, &at, &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, _old: &Value) -> Vec<FieldError> {
        if part == Part::Status { Vec::new() } else { self.validate_create(new) }
    }
}

fn time_zone(zone: &str, path: &Path, errors: &mut Errors) {
    if zone.is_empty() {
        errors.push(FieldError::invalid_text(path, zone, "timeZone must be nil or non-empty string"));
    } else if zone.eq_ignore_ascii_case("local") {
        errors.push(FieldError::invalid_text(
            path,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ));
    } else if jiff::tz::TimeZone::get(zone).is_err() {
        errors.push(FieldError::invalid_text(path, zone, format!("unknown time zone {zone}")));
    }
}

/// What is wrong with a schedule of five fields or a descriptor such as `@daily`.
fn schedule_problem(schedule: &str) -> Option<String> {
    if let Some(descriptor) = schedule.strip_prefix('@') {
        let known = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
        let every = descriptor.starts_with("every ");
        return (!known.contains(&descriptor) && !every).then(|| format!("unrecognized descriptor: {schedule}"));
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != 5 {
        let shown = fields.join(" ");
        return Some(format!("expected exactly 5 fields, found {}: [{shown}]", fields.len()));
    }
    const BOUNDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
    fields.iter().zip(BOUNDS).find_map(|(field, bounds)| field.split(',').find_map(|part| part_problem(part, bounds)))
}

/// What is wrong with `*`, `a`, `a-b` or either with `/step`.
fn part_problem(part: &str, (least, most): (u32, u32)) -> Option<String> {
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    if let Some(step) = step {
        match step.parse::<u32>() {
            Ok(0) => return Some(format!("step of range should be a positive number: {part}")),
            Ok(_) => {}
            Err(_) => return Some(unreadable(step)),
        }
    }
    if matches!(range, "*" | "?") {
        return None;
    }
    let (start, end) = range.split_once('-').unwrap_or((range, range));
    let (start, end) = match (number(start), number(end)) {
        (Ok(start), Ok(end)) => (start, end),
        (Err(problem), _) | (_, Err(problem)) => return Some(problem),
    };
    if start < least {
        Some(format!("beginning of range ({start}) below minimum ({least}): {part}"))
    } else if end > most {
        Some(format!("end of range ({end}) above maximum ({most}): {part}"))
    } else if start > end {
        Some(format!("beginning of range ({start}) beyond end of range ({end}): {part}"))
    } else {
        None
    }
}

/// A number, or a month or day by its first three letters.
fn number(text: &str) -> Result<u32, String> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let named = |names: &[&str], first: u32| {
        let at = names.iter().position(|name| text.eq_ignore_ascii_case(name))?;
        u32::try_from(at).ok().map(|at| at + first)
    };
    named(&MONTHS, 1)
        .or_else(|| named(&DAYS, 0))
        .map_or_else(|| text.parse().map_err(|_not_a_number| unreadable(text)), Ok)
}

fn unreadable(text: &str) -> String {
    let quoted = crate::field::go_quote(text);
    format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax")
}
