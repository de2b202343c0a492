//! Moments of a maintenance window as people write them: a day and a time somewhere, or one instant.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::base::units::InvalidUnit;

/// A moment, once or again and again.
#[derive(Clone, Debug, PartialEq)]
pub enum Moment {
    /// One instant.
    At(Timestamp),
    /// Every week or every day, by the clocks of a place.
    Recurring {
        /// The day of the week; `None`: every day.
        day: Option<Weekday>,
        /// The time of day there.
        time: Time,
        /// Where.
        zone: TimeZone,
    },
}

impl Moment {
    /// Reads `Sun 04:00 Europe/Berlin`, `04:00 Europe/Berlin` (every day), or RFC 3339.
    ///
    /// # Errors
    /// [`InvalidUnit`] when it is none, or the place is unknown.
    pub fn parse(text: &str) -> Result<Moment, InvalidUnit> {
        let found = text
            .parse()
            .ok()
            .or_else(|| text.parse::<Zoned>().ok().map(|zoned| zoned.timestamp()))
            .map(Moment::At)
            .or_else(|| recurring(text));
        found.ok_or_else(|| InvalidUnit {
            text: text.to_owned(),
            kind: "moment",
            example: "`Sun 04:00 Europe/Berlin`, `04:00 Europe/Berlin` or `2026-11-22T22:00:00Z`",
        })
    }

    /// The first such moment after `from`; of a single instant that instant, past or not.
    pub fn next_after(&self, from: Timestamp) -> Timestamp {
        let (day, time, zone) = match self {
            Moment::At(at) => return *at,
            Moment::Recurring { day, time, zone } => (day, time, zone),
        };
        let today = from.to_zoned(zone.clone()).date();
        // Yesterday too: where clocks go back over midnight, a moment of it may still come.
        for days in -1..=8 {
            let Ok(date) = today.checked_add(i64::from(days).days()) else { break };
            if day.is_some_and(|day| day != date.weekday()) {
                continue;
            }
            // A time that clocks leave out counts as the one just behind the gap.
            match date.to_datetime(*time).to_zoned(zone.clone()) {
                Ok(zoned) if zoned.timestamp() > from => return zoned.timestamp(),
                _ => {}
            }
        }
        Timestamp::MAX
    }
}

fn recurring(text: &str) -> Option<Moment> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (day, time, zone) = match words[..] {
        [day, time, zone] => (Some(weekday(day)?), time, zone),
        [time, zone] => (None, time, zone),
        _ => return None,
    };
    let (hour, minute) = time.split_once(':')?;
    let two = |text: &str| (text.len() == 2).then(|| text.parse().ok()).flatten();
    let time = Time::new(two(hour)?, two(minute)?, 0, 0).ok()?;
    Some(Moment::Recurring { day, time, zone: TimeZone::get(zone).ok()? })
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "Mon" => Weekday::Monday,
        "Tue" => Weekday::Tuesday,
        "Wed" => Weekday::Wednesday,
        "Thu" => Weekday::Thursday,
        "Fri" => Weekday::Friday,
        "Sat" => Weekday::Saturday,
        "Sun" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, from: &str) -> String {
        Moment::parse(text).unwrap().next_after(from.parse().unwrap()).to_string()
    }

    #[test]
    fn moments_come_by_the_clocks_of_their_place() {
        let wednesday = "2026-11-18T12:00:00Z";
        assert_eq!(next("Sun 04:00 Europe/Berlin", wednesday), "2026-11-22T03:00:00Z");
        assert_eq!(next("Wed 14:00 Europe/Berlin", wednesday), "2026-11-18T13:00:00Z");
        assert_eq!(next("Wed 13:00 Europe/Berlin", wednesday), "2026-11-25T12:00:00Z");
        assert_eq!(next("04:00 Asia/Tokyo", wednesday), "2026-11-18T19:00:00Z");
        assert_eq!(next("2026-01-01T00:00:00Z", wednesday), "2026-01-01T00:00:00Z");
        assert_eq!(next("2026-12-01T00:00:00+01:00", wednesday), "2026-11-30T23:00:00Z");
    }

    #[test]
    fn clocks_that_are_put_forward_or_back_are_followed() {
        // Put forward on 29 March 2026: 02:30 does not exist there and counts as 03:30.
        assert_eq!(next("Sun 02:30 Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-29T01:30:00Z");
        assert_eq!(next("Sun 04:00 Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-29T02:00:00Z");
        // Put back on 25 October 2026: 02:30 comes twice, and the first one counts.
        assert_eq!(next("Sun 02:30 Europe/Berlin", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(next("Sun 04:00 Europe/Berlin", "2026-10-24T12:00:00Z"), "2026-10-25T03:00:00Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for bad in
            ["", "soon", "Sun 04:00", "Sun 4:00 Europe/Berlin", "Sunday 04:00 UTC", "25:00 UTC"]
        {
            assert!(Moment::parse(bad).is_err(), "{bad}");
        }
        assert!(Moment::parse("Sun 04:00 Europe/Atlantis").is_err());
    }
}
