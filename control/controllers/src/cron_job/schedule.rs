//! Schedules in cron's notation, minute by minute in a time zone. From specs; to the plan. Pure.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// A schedule that finds no time within this many years never will.
const YEARS: i32 = 5;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When something is due.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// A bit per allowed value.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether days of month and of week are both restricted: then either suffices.
    either_day: bool,
    zone: TimeZone,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error("expected exactly 5 fields, found {0}")]
    Fields(usize),
    /// A field that cannot be read.
    #[error("failed to parse {0:?}")]
    Field(String),
    /// An unknown `@` word.
    #[error("unrecognized descriptor: {0}")]
    Word(String),
    /// An unknown time zone.
    #[error("unknown time zone {0}")]
    Zone(String),
}

impl Schedule {
    /// Reads a schedule; times are those of `zone`, or UTC.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).ok().ok_or_else(|| ScheduleError::Zone(name.to_owned()))?,
        };
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            word if word.starts_with('@') => return Err(ScheduleError::Word(word.to_owned())),
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(ScheduleError::Fields(fields.len()));
        };
        let open = |field: &str| field.starts_with('*') || field.starts_with('?');
        let mut weekday_bits = bits(weekdays, 0, 7, &DAYS, 0)?;
        // Sunday is 0 and 7.
        weekday_bits |= weekday_bits >> 7 & 1;
        Ok(Self {
            minutes: bits(minutes, 0, 59, &[], 0)?,
            hours: bits(hours, 0, 23, &[], 0)?,
            days: bits(days, 1, 31, &[], 0)?,
            months: bits(months, 1, 12, &MONTHS, 1)?,
            weekdays: weekday_bits,
            either_day: !open(days) && !open(weekdays),
            zone,
        })
    }

    /// The first due time after `from`.
    pub fn next_after(&self, from: Timestamp) -> Option<Timestamp> {
        let start = from.to_zoned(self.zone.clone()).datetime();
        let mut time = DateTime::new(start.year(), start.month(), start.day(), start.hour(), start.minute(), 0, 0)
            .ok()?
            .checked_add(1.minute())
            .ok()?;
        let last_year = i32::from(start.year()).saturating_add(YEARS);
        while i32::from(time.year()) <= last_year {
            // The largest step that cannot skip a due time.
            time = if !has(self.months, time.month()) {
                let first = time.date().first_of_month().to_datetime(jiff::civil::Time::midnight());
                first.checked_add(1.month()).ok()?
            } else if !self.allows_day(time) {
                time.date().to_datetime(jiff::civil::Time::midnight()).checked_add(1.day()).ok()?
            } else if !has(self.hours, time.hour()) {
                let minutes = 60 - i64::from(time.minute());
                time.checked_add(minutes.minutes()).ok()?
            } else if has(self.minutes, time.minute()) {
                let due = time.to_zoned(self.zone.clone()).ok()?.timestamp();
                if due > from {
                    return Some(due);
                }
                // The same minute again, as clocks were set back.
                time.checked_add(1.minute()).ok()?
            } else {
                time.checked_add(1.minute()).ok()?
            };
        }
        None
    }

    fn allows_day(&self, time: DateTime) -> bool {
        let of_month = has(self.days, time.day());
        let of_week = has(self.weekdays, time.weekday().to_sunday_zero_offset());
        if self.either_day { of_month || of_week } else { of_month && of_week }
    }

    /// The latest due time after `since` and not after `now`, and how many there were, counted up to `most`.
    pub fn latest_between(&self, since: Timestamp, now: Timestamp, most: usize) -> (Option<Timestamp>, usize) {
        let mut latest = None;
        let mut count = 0;
        let mut at = since;
        while let Some(due) = self.next_after(at).filter(|due| *due <= now) {
            latest = Some(due);
            count += 1;
            at = due;
            if count >= most {
                // Far behind: go on near the end.
                let Ok(near) = now.checked_sub(SignedDuration::from_hours(24)) else { break };
                if near <= at {
                    if count > most.saturating_mul(20) {
                        break;
                    }
                    continue;
                }
                at = near;
            }
        }
        (latest, count)
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

/// Reads a field: lists of values, ranges and steps.
fn bits(field: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> Result<u64, ScheduleError> {
    let wrong = || ScheduleError::Field(field.to_owned());
    let value = |text: &str| -> Result<u32, ScheduleError> {
        let lower = text.to_ascii_lowercase();
        if let Some(position) = names.iter().position(|name| *name == lower) {
            return u32::try_from(position).map(|position| position + first_name).ok().ok_or_else(wrong);
        }
        text.parse().ok().ok_or_else(wrong)
    };
    let mut all = 0_u64;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0).ok_or_else(wrong)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (min, max),
            Some((first, last)) => (value(first)?, value(last)?),
            // With a step a single value is where the range begins.
            None if part.contains('/') => (value(range)?, max),
            None => (value(range)?, value(range)?),
        };
        if first < min || last > max || first > last {
            return Err(wrong());
        }
        let mut number = first;
        while number <= last {
            all |= 1 << number;
            number += step;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_are_found() {
        for (schedule, from, next) in [
            ("*/1 * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"),
            ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
            ("30 0 1 JAN,jul *", "2026-02-01T00:00:00Z", "2026-07-01T00:30:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("5-15/5 10 * * mon-fri", "2026-01-02T10:15:00Z", "2026-01-05T10:05:00Z"),
            ("0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            ("@hourly", "2026-01-01T00:59:59Z", "2026-01-01T01:00:00Z"),
        ] {
            let parsed = Schedule::parse(schedule, None).unwrap();
            let found = parsed.next_after(from.parse().unwrap()).map(|time| time.to_string());
            assert_eq!(found.as_deref(), Some(next), "{schedule}");
        }
        assert_eq!(Schedule::parse("0 0 31 2 *", None).unwrap().next_after(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(Schedule::parse("* * * *", None).unwrap_err(), ScheduleError::Fields(4));
        for text in ["60 * * * *", "* * 0 * *", "a * * * *", "1-0 * * * *", "*/0 * * * *", "@reboot"] {
            assert!(Schedule::parse(text, None).is_err(), "{text}");
        }
        assert!(Schedule::parse("* * * * *", Some("No/Where")).is_err());
    }
}
