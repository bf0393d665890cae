//! In which form an answer goes out: what the client accepts, weighed as RFC 9110 section 12.5.1 says.
//!
//! A list of ranges is weighed once for forms that hold one answer and once for forms that hold many, because the
//! same list is sent for queries and for subscriptions, and what is better depends on which of them it is.

use axum::http::HeaderMap;
use axum::http::header;

/// A form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/json`: 200 whatever became of the request, for older clients.
    Json,
    /// `application/graphql-response+json`: the status tells whether it was executed.
    GraphQl,
    /// `text/event-stream`: graphql-sse, distinct connections.
    EventStream,
    /// `multipart/mixed`: a part for each answer.
    Multipart,
}

const SINGLE: [Media; 2] = [Media::Json, Media::GraphQl];
const MANY: [Media; 2] = [Media::EventStream, Media::Multipart];

impl Media {
    /// The media type, without parameters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::GraphQl => "application/graphql-response+json",
            Self::EventStream => "text/event-stream",
            Self::Multipart => "multipart/mixed",
        }
    }
}

/// What a client accepts: the best form of each kind, with its weight in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    single: Option<(Media, u16)>,
    many: Option<(Media, u16)>,
}

impl Accepted {
    /// Weighs the `Accept` headers; without any, everything is fine. None when nothing we have is.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut ranges = Vec::new();
        for value in headers.get_all(header::ACCEPT) {
            ranges.extend(value.to_str().unwrap_or_default().split(',').filter_map(Range::parse));
        }
        if ranges.is_empty() && headers.get_all(header::ACCEPT).iter().all(|value| value.is_empty()) {
            return Some(Self { single: Some((Media::Json, 1000)), many: None });
        }
        let accepted = Self { single: best(&ranges, SINGLE), many: best(&ranges, MANY) };
        (accepted.single.is_some() || accepted.many.is_some()).then_some(accepted)
    }

    /// The form for an operation with one answer: one for many only where the client likes that better.
    #[must_use]
    pub fn single(self) -> Media {
        match (self.single, self.many) {
            (Some((_, weight)), Some((many, more))) if more > weight => many,
            (Some((media, _)), _) | (None, Some((media, _))) => media,
            (None, None) => Media::Json,
        }
    }

    /// The form for an operation with many answers. One for a single answer is left only to say that it cannot be.
    #[must_use]
    pub fn many(self) -> Media {
        self.many.or(self.single).map_or(Media::Json, |(media, _)| media)
    }
}

/// One media range.
struct Range {
    kind: String,
    subtype: String,
    weight: u16,
}

impl Range {
    /// None for what is no range.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().unwrap_or(1.0))
        });
        let quality = quality.filter(|quality| quality.is_finite()).unwrap_or(1.0).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
        let weight = (quality * 1000.0).round() as u16;
        Some(Self { kind: kind.to_ascii_lowercase(), subtype: subtype.to_ascii_lowercase(), weight })
    }

    /// How exactly the range names a media type: 3 for the type itself, 1 for any; none when it does not.
    fn names(&self, media: Media) -> Option<u8> {
        let (kind, subtype) = media.name().split_once('/')?;
        match (self.kind.as_str(), self.subtype.as_str()) {
            ("*", "*") => Some(1),
            (own, "*") if own == kind => Some(2),
            (own, exact) if own == kind && exact == subtype => Some(3),
            _ => None,
        }
    }
}

/// The form with the greatest weight; of equal ones the one that is named first, exactly before by a wildcard.
fn best(ranges: &[Range], forms: [Media; 2]) -> Option<(Media, u16)> {
    let weighed = forms.into_iter().filter_map(|media| {
        let named = ranges.iter().enumerate().filter_map(|(place, range)| Some((range.names(media)?, place, range)));
        // The most exact range decides; of several such, the first.
        let (exact, place, range) = named.max_by_key(|(exact, place, _)| (*exact, usize::MAX - place))?;
        (range.weight > 0).then_some((media, range.weight, exact == 3, place))
    });
    weighed
        .max_by_key(|(media, weight, exact, place)| {
            (*weight, *exact, usize::MAX - place, matches!(media, Media::Json | Media::EventStream))
        })
        .map(|(media, weight, _, _)| (media, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Option<(Media, Media)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("a header"));
        Accepted::of(&headers).map(|accepted| (accepted.single(), accepted.many()))
    }

    #[test]
    fn the_greatest_weight_wins_and_the_most_exact_range_gives_it() {
        for (accept, single) in [
            ("application/json", Media::Json),
            ("*/*", Media::Json),
            ("application/*", Media::Json),
            ("application/graphql-response+json, application/json", Media::GraphQl),
            ("application/json, application/graphql-response+json", Media::Json),
            ("application/json;q=0.5, application/graphql-response+json;q=0.9", Media::GraphQl),
            ("*/*;q=0.9, application/json;q=0.1", Media::GraphQl),
            ("application/json;q=0, */*", Media::GraphQl),
            ("text/html, Application/JSON ; Q=0.2", Media::Json),
            ("application/graphql-response+json;charset=utf-8", Media::GraphQl),
        ] {
            assert_eq!(of(accept).map(|(single, _)| single), Some(single), "{accept}");
        }
        assert_eq!(of("text/html"), None);
        assert_eq!(of("application/json;q=0"), None);
        assert_eq!(of("nonsense"), None);
        assert_eq!(Accepted::of(&HeaderMap::new()).map(Accepted::single), Some(Media::Json));
    }

    #[test]
    fn many_answers_go_into_a_form_for_many_where_the_client_takes_one() {
        let all = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed";
        assert_eq!(of(all), Some((Media::GraphQl, Media::EventStream)));
        let apollo = "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9";
        assert_eq!(of(apollo), Some((Media::GraphQl, Media::Multipart)));
        assert_eq!(of("text/event-stream"), Some((Media::EventStream, Media::EventStream)));
        assert_eq!(of("text/event-stream, application/json;q=0.5"), Some((Media::EventStream, Media::EventStream)));
        assert_eq!(of("application/json, text/event-stream;q=0.5"), Some((Media::Json, Media::EventStream)));
        assert_eq!(of("application/json"), Some((Media::Json, Media::Json)));
        assert_eq!(of("*/*"), Some((Media::Json, Media::EventStream)));
    }
}
