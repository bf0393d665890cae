//! What an answer means: every status, in the terms of [`IndexErrorKind`] (sync.md 4.4). Pure.
//!
//! Bodies are read leniently: both dialects of refusals, plain text, an HTML page of something in between, or
//! nothing at all.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexResult;
use crate::index::pinecone::http::one_line;

/// How long nothing is sent when the quota of a month is used up. It is looked at again after that.
const QUOTA: Duration = Duration::from_secs(900);
/// The code of the data plane for what is not there.
const NOT_FOUND: i64 = 5;

/// An answer, read as far as it could be.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long the service wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The sequence number of a write.
    pub written: Option<i64>,
    /// The newest sequence number that queries see.
    pub indexed: Option<i64>,
    /// How the service calls the exchange.
    pub request_id: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// Why the body is not whole.
    pub broken: Option<String>,
}

/// What a refusal says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// The number of the data plane.
    pub number: Option<i64>,
    /// The word of the control plane.
    pub word: Option<String>,
    /// For people.
    pub message: String,
}

impl Answer {
    /// Whether it is a 2xx.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The body of a 2xx.
    ///
    /// # Errors
    /// What any other status means; [`IndexErrorKind::InDoubt`] for a body that is not what was promised.
    pub fn read<T: DeserializeOwned>(&self) -> IndexResult<T> {
        if !self.is_success() {
            return Err(self.refusal());
        }
        if let Some(why) = &self.broken {
            return Err(self.in_doubt(&format!("its answer cannot be read to the end: {why}")));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // Not the error's own words: they may quote the body.
            let what = if is_html(&self.body) {
                "an HTML page".to_owned()
            } else {
                format!("it is not the JSON that was promised, at byte {}", error.column())
            };
            self.in_doubt(&format!("its answer cannot be read: {what}"))
        })
    }

    /// What the body of a refusal says.
    #[must_use]
    pub fn told(&self) -> Told {
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            let message = if is_html(&self.body) {
                "an HTML page".to_owned()
            } else {
                one_line(&String::from_utf8_lossy(&self.body[..self.body.len().min(4_000)]))
            };
            return Told { message, ..Told::default() };
        };
        let text = |value: &Value| value.as_str().map(one_line);
        match body.get("error") {
            Some(error) => Told {
                word: error.get("code").and_then(text),
                message: error.get("message").and_then(text).unwrap_or_default(),
                number: None,
            },
            None => Told {
                number: body.get("code").and_then(Value::as_i64),
                message: body.get("message").and_then(text).unwrap_or_default(),
                word: None,
            },
        }
    }

    /// Whether the data plane itself says that something is not there, and not a wrong host.
    #[must_use]
    pub fn is_unknown_name(&self) -> bool {
        self.status == 404 && self.told().number == Some(NOT_FOUND)
    }

    /// Whether the control plane itself says that there is no such index.
    #[must_use]
    pub fn is_no_such_index(&self) -> bool {
        self.status == 404 && self.told().word.as_deref() == Some("NOT_FOUND")
    }

    /// What a status other than 2xx means.
    #[must_use]
    pub fn refusal(&self) -> IndexError {
        let told = self.told();
        let (kind, retry_after) = kind(self.status, &told.message);
        let mut detail = match self.status {
            401 => "Pinecone refuses the API key (401)".to_owned(),
            status => format!("Pinecone answered {status}"),
        };
        if !told.message.is_empty() {
            detail = format!("{detail}: {}", told.message);
        }
        IndexError { kind, detail: self.with_request(detail), retry_after: retry_after.or(self.retry_after) }
    }

    fn in_doubt(&self, what: &str) -> IndexError {
        let detail = format!("Pinecone answered {}, but {what}", self.status);
        IndexError::new(IndexErrorKind::InDoubt, self.with_request(detail))
    }

    fn with_request(&self, detail: String) -> String {
        match &self.request_id {
            Some(id) => format!("{detail} (request {id})"),
            None => detail,
        }
    }
}

/// What a status means, and how long it means it where the service did not say.
fn kind(status: u16, message: &str) -> (IndexErrorKind, Option<Duration>) {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let kind = match status {
        // Too large by the words of older servers; a record's own metadata is the record's fault.
        400 if says(&["larger than the maximum supported size", "message length too large", "request size"])
            && !message.starts_with("metadata size") =>
        {
            IndexErrorKind::TooLarge
        }
        400 if is_dimension(&message) => IndexErrorKind::TargetFault,
        400 | 422 => IndexErrorKind::Rejected,
        413 => IndexErrorKind::TooLarge,
        // The quota of a month is answered like a rate, and does not pass by itself soon.
        429 if says(&["current month", "monthly"]) || (says(&["upgrade"]) && !says(&["per second"])) => {
            return (IndexErrorKind::TargetFault, Some(QUOTA));
        }
        425 | 429 => IndexErrorKind::RateLimited,
        408 => IndexErrorKind::InDoubt,
        // Nothing of this kind ends by being tried again: key, payment, permission, a missing or moved index, a
        // conflict with what is there, a service that does not know the operation.
        300..=499 | 501 | 505 => IndexErrorKind::TargetFault,
        _ => IndexErrorKind::InDoubt,
    };
    (kind, None)
}

/// Whether a refusal is about the dimension of the index. Records are held against it before they are sent, so
/// this says that the index is not the one that is known here.
fn is_dimension(message: &str) -> bool {
    message.contains("does not match the dimension of the index")
}

fn is_html(body: &[u8]) -> bool {
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace()).map_or(&body[..0], |at| &body[at..]);
    start.first() == Some(&b'<')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
    }

    fn data(code: i64, message: &str) -> String {
        serde_json::json!({ "code": code, "message": message, "details": [] }).to_string()
    }

    fn control(status: u16, code: &str, message: &str) -> String {
        serde_json::json!({ "status": status, "error": { "code": code, "message": message } }).to_string()
    }

    #[test]
    fn every_status_has_its_kind() {
        use IndexErrorKind::InDoubt;
        use IndexErrorKind::RateLimited;
        use IndexErrorKind::Rejected;
        use IndexErrorKind::TargetFault;
        use IndexErrorKind::TooLarge;
        for (status, found) in [
            (301, TargetFault),
            (302, TargetFault),
            (307, TargetFault),
            (400, Rejected),
            (401, TargetFault),
            (402, TargetFault),
            (403, TargetFault),
            (404, TargetFault),
            (405, TargetFault),
            (407, TargetFault),
            (408, InDoubt),
            (409, TargetFault),
            (412, TargetFault),
            (413, TooLarge),
            (415, TargetFault),
            (422, Rejected),
            (425, RateLimited),
            (429, RateLimited),
            (500, InDoubt),
            (501, TargetFault),
            (502, InDoubt),
            (503, InDoubt),
            (504, InDoubt),
            (520, InDoubt),
            (599, InDoubt),
        ] {
            assert_eq!(answer(status, "").refusal().kind, found, "{status}");
        }
    }

    #[test]
    fn the_words_of_a_400_and_a_429_decide() {
        use IndexErrorKind::RateLimited;
        use IndexErrorKind::Rejected;
        use IndexErrorKind::TargetFault;
        use IndexErrorKind::TooLarge;
        for (status, body, found) in [
            (400, data(3, "Vector dimension 1536 does not match the dimension of the index 3072"), TargetFault),
            (400, data(3, "metadata size is 41804 bytes, which exceeds the limit of 40960 bytes per vector"), Rejected),
            (
                400,
                data(
                    3,
                    "Metadata value must be a string, number, boolean or list of strings, got 'null' for field 'x'",
                ),
                Rejected,
            ),
            (
                400,
                data(3, "Dense vectors must contain at least one non-zero value. Vector ID 'x' contains only zeros"),
                Rejected,
            ),
            (400, data(3, "Request size 3MB is larger than the maximum supported size - 2MB"), TooLarge),
            (400, data(11, "message length too large: found 4194400 bytes, the limit is: 4194304 bytes"), TooLarge),
            (429, data(8, "You've reached the max upsert size limit per second for namespace 'kb'"), RateLimited),
            (429, data(8, "You've reached the max number of requests per second. Upgrade for more."), RateLimited),
            (
                429,
                data(
                    8,
                    "You've reached your write unit limit for the current month (2000000). To continue writing data, upgrade your plan.",
                ),
                TargetFault,
            ),
        ] {
            let refusal = answer(status, &body).refusal();
            assert_eq!(refusal.kind, found, "{body}");
        }
        let quota = answer(429, &data(8, "monthly limit reached")).refusal();
        assert_eq!(quota.retry_after, Some(QUOTA));
    }

    #[test]
    fn a_refusal_says_what_the_service_said_in_one_line() {
        for (status, body, line) in [
            (400, data(3, "no\n good"), "Pinecone answered 400: no good"),
            (403, control(403, "FORBIDDEN", "not yours"), "Pinecone answered 403: not yours"),
            (401, "Unauthorized\n".to_owned(), "Pinecone refuses the API key (401): Unauthorized"),
            (502, "<html><body>Bad Gateway</body></html>".to_owned(), "Pinecone answered 502: an HTML page"),
            (503, String::new(), "Pinecone answered 503"),
            (500, "{\"code\":".to_owned(), "Pinecone answered 500: {\"code\":"),
        ] {
            assert_eq!(answer(status, &body).refusal().detail, line);
        }
        let long = answer(500, &"x\u{1}y ".repeat(10_000)).refusal().detail;
        assert!(long.chars().count() < 500 && !long.contains('\u{1}'), "{long}");
        let named = Answer { request_id: Some("r-1".to_owned()), ..answer(500, "") };
        assert_eq!(named.refusal().detail, "Pinecone answered 500 (request r-1)");
    }

    #[test]
    fn a_2xx_that_is_not_what_was_promised_is_in_doubt() {
        let read = |answer: Answer| answer.read::<serde_json::Map<String, Value>>().map_err(|error| error.kind);
        assert!(read(answer(200, "{}")).is_ok());
        for body in ["", "<html></html>", "{\"upsertedCount\":", "[]", "OK"] {
            assert_eq!(read(answer(200, body)), Err(IndexErrorKind::InDoubt), "{body}");
        }
        let cut = Answer { broken: Some("end of file".to_owned()), ..answer(200, "{}") };
        assert_eq!(read(cut), Err(IndexErrorKind::InDoubt));
    }

    #[test]
    fn only_the_service_itself_can_say_that_a_name_is_unknown() {
        assert!(answer(404, &data(5, "Namespace not found")).is_unknown_name());
        assert!(!answer(404, &data(3, "")).is_unknown_name());
        assert!(!answer(404, "not found").is_unknown_name());
        assert!(!answer(400, &data(5, "")).is_unknown_name());
        assert!(answer(404, &control(404, "NOT_FOUND", "no")).is_no_such_index());
        assert!(!answer(404, "<html>").is_no_such_index());
    }
}
