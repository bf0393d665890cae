//! `Retry-After` in each of its forms. Pure.

use std::time::Duration;

use chrono::DateTime;

/// How long to wait: seconds, with a fraction or without, or an HTTP date. Who asks for less than nothing
/// asks for nothing; whoever plans with it clamps it.
#[must_use]
pub fn parse(text: &str, now_us: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then(|| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?.timestamp_micros();
    Some(Duration::from_micros(at.saturating_sub(now_us).max(0).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nothing_else() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = 784_111_777_000_000;
        for (text, waits) in [
            ("3", Some(Duration::from_secs(3))),
            (" 1.5 ", Some(Duration::from_millis(1_500))),
            ("-4", Some(Duration::ZERO)),
            ("315360000", Some(Duration::from_secs(315_360_000))),
            ("1e30", Some(Duration::MAX)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(Duration::from_secs(10))),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(Duration::ZERO)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", None),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(Duration::from_secs(3_155_760_000))),
            ("soon", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(parse(text, now), waits, "{text}");
        }
    }
}
