//! What the value of a setting may be: from text to the type of its field, or nothing.
//!
//! Pure, one function a kind of value.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::config::Anonymous;
use crate::config::CLOUDS;
use crate::config::Metric;
use crate::config::Secret;
use crate::config::Trust;
use crate::config::http::Cors;

/// What a yes or a no may be.
pub const SWITCH: &str = "true or false";
/// What a yes or a no may be, where somebody else may decide.
pub const SWITCH_OR_AUTO: &str = "auto, yes or no";
/// A number of seconds, or 0 for never.
pub const SECONDS_OR_NEVER: &str = "a number of seconds up to 1000000, or 0 for never";
/// A number of days, or 0.
pub const DAYS_OR_NEVER: &str = "a number of days up to 36500, or 0 for never";
/// A number of seconds, or 0.
pub const SECONDS_OR_NONE: &str = "a number of seconds up to 1000000";
/// What a length of time may be.
pub const SECONDS: &str = "a number of seconds, above 0 and at most 1000000";
/// What a count may be.
pub const COUNT: &str = "a whole number from 1 to 1000000000";

/// A whole number of a range.
#[must_use]
pub fn whole<T: FromStr + PartialOrd>(text: &str, range: &RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// A whole number from 1 on.
#[must_use]
pub fn count<T: FromStr + PartialOrd + From<u32>>(text: &str) -> Option<T> {
    whole(text, &(T::from(1)..=T::from(1_000_000_000)))
}

/// A number of bytes.
#[must_use]
pub fn bytes(text: &str) -> Option<usize> {
    whole(text, &(1..=1_000_000_000))
}

/// Yes or no.
#[must_use]
pub fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Who is let in without a key.
#[must_use]
pub fn anonymous(text: &str) -> Option<Anonymous> {
    if text.eq_ignore_ascii_case(Anonymous::Auto.name()) {
        return Some(Anonymous::Auto);
    }
    switch(text).map(|yes| if yes { Anonymous::Yes } else { Anonymous::No })
}

/// A length of time.
#[must_use]
pub fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    let duration = if number > 0.0 && number <= 1e6 { Duration::try_from_secs_f64(number).ok()? } else { return None };
    (!duration.is_zero()).then_some(duration)
}

/// Seconds, or 0.
pub fn seconds_or_never(text: &str) -> Option<Duration> {
    if text.parse() == Ok(0.0) { Some(Duration::ZERO) } else { seconds(text) }
}

/// Days, or 0.
#[must_use]
pub fn days_or_never(text: &str) -> Option<Duration> {
    let days: f64 = text.parse().ok()?;
    (0.0..=36_500.0).contains(&days).then(|| Duration::from_secs_f64(days * 86_400.0))
}

/// Days as they are written.
#[must_use]
pub fn days_text(duration: Duration) -> String {
    (duration.as_secs_f64() / 86_400.0).to_string()
}

/// A length of time as it is written.
#[must_use]
pub fn seconds_text(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

/// An address to listen on.
#[must_use]
pub fn host(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") { Some(Ipv4Addr::LOCALHOST.into()) } else { text.parse().ok() }
}

/// The origins of pages that may ask, or all of them.
#[must_use]
pub fn origins(text: &str) -> Option<Cors> {
    if text == "*" {
        return Some(Cors::Any);
    }
    text.split(',').map(|origin| self::origin(origin.trim())).collect::<Option<_>>().map(Cors::Origins)
}

/// An origin as a browser writes it.
fn origin(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    bare.then(|| format!("{}://{host}{port}", url.scheme()).to_ascii_lowercase())
}

/// Names of a host, without ports.
#[must_use]
pub fn hosts(text: &str) -> Option<Vec<String>> {
    let one = |text: &str| {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Some(format!("[{address}]"));
        }
        let fine =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        fine.then(|| text.trim_end_matches('.').to_ascii_lowercase())
    };
    text.split(',').map(|name| one(name.trim())).collect()
}

/// Whether SQLite waits for the disk.
#[must_use]
pub fn synchronous(text: &str) -> Option<bool> {
    match text.to_ascii_uppercase().as_str() {
        "FULL" => Some(true),
        "NORMAL" => Some(false),
        _ => None,
    }
}

/// What becomes of trusted documents, and of others.
#[must_use]
pub fn trust(text: &str) -> Option<Trust> {
    [Trust::Off, Trust::Allow, Trust::Only].into_iter().find(|trust| trust.name() == text)
}

/// What is logged.
#[must_use]
pub fn filter(text: &str) -> Option<String> {
    tracing_subscriber::EnvFilter::builder().parse(text).ok()?;
    Some(text.to_owned())
}

/// The name of an index.
#[must_use]
pub fn index_name(text: &str) -> Option<String> {
    let fine = text.len() <= 45 && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    fine.then(|| text.to_owned())
}

/// The name of a namespace.
#[must_use]
pub fn namespace(text: &str) -> Option<String> {
    let fine = text.len() <= 512 && text.chars().all(|c| c.is_ascii() && !c.is_control()) && text != "__default__";
    fine.then(|| text.to_owned())
}

/// The root of a service: with https where no scheme is given, and without a slash at its end.
#[must_use]
pub fn host_url(text: &str) -> Option<String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = url::Url::parse(&whole).ok()?;
    let fine = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        // What a name and a password would do is the key's part; they would stand in logs.
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    fine.then(|| whole.trim_end_matches('/').to_owned())
}

/// A secret that travels in a header.
#[must_use]
pub fn key(text: &str) -> Option<Secret> {
    text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Secret::new(text))
}

/// A version of an API, which is a month.
#[must_use]
pub fn api_version(text: &str) -> Option<String> {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let (year, month) = text.split_once('-')?;
    (digits(year, 4) && digits(month, 2)).then(|| text.to_owned())
}

/// The name of a cloud.
#[must_use]
pub fn cloud(text: &str) -> Option<String> {
    CLOUDS.contains(&text).then(|| text.to_owned())
}

/// A region; which ones there are is known to the service alone. One that is gone is refused here, because the
/// service would say no more than that it does not know it.
pub fn region(text: &str) -> Option<String> {
    let fine = text != "gcp-starter" && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fine.then(|| text.to_owned())
}

/// A share of what is allowed, or more than that.
#[must_use]
pub fn share(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| (0.01..=1000.0).contains(share))
}

/// How vectors are compared.
#[must_use]
pub fn metric(text: &str) -> Option<Metric> {
    [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean].into_iter().find(|metric| metric.name() == text)
}
