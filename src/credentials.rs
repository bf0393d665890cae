//! What a request brings along to be let in, as it stands in its headers or in a message.
//!
//! Whether it opens anything is not decided here.

use axum::http::HeaderMap;
use axum::http::header;

use crate::config::Secret;

/// Headers in which a proxy tells for whom it asks.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// What a request brings along.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Its key.
    pub key: Offered,
    /// A proxy asks, for somebody elsewhere.
    pub forwarded: bool,
}

/// A key, perhaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Offered {
    /// None.
    #[default]
    Nothing,
    /// The token of one.
    Token(Secret),
    /// Something that is none.
    Unreadable,
}

impl Credentials {
    /// Those of a request's headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let key = match (given.next(), given.next()) {
            (None, _) => Offered::Nothing,
            (Some(value), None) => Offered::bearer(value.as_bytes()),
            (Some(_), Some(_)) => Offered::Unreadable,
        };
        Self { key, forwarded: FORWARDED.iter().any(|name| headers.contains_key(*name)) }
    }

    /// The same with a key that was given later, if one was.
    #[must_use]
    pub fn or(&self, later: Offered) -> Self {
        let key = if later == Offered::Nothing { self.key.clone() } else { later };
        Self { key, forwarded: self.forwarded }
    }
}

impl Offered {
    /// What stands behind `Authorization:`.
    #[must_use]
    pub fn bearer(value: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(value) else { return Self::Unreadable };
        match text.trim().split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Self::Token(Secret::new(token.trim())),
            _ => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&str]) -> Offered {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        Credentials::of(&headers).key
    }

    #[test]
    fn one_bearer_is_a_token_and_anything_else_is_unreadable() {
        let token = |text: &str| Offered::Token(Secret::new(text));
        assert_eq!(key(&[]), Offered::Nothing);
        assert_eq!(key(&["Bearer abc"]), token("abc"));
        assert_eq!(key(&[" bEARER   abc "]), token("abc"));
        for other in ["", "Bearer", "abc", "Basic dTpw", "Bearerabc"] {
            assert_eq!(key(&[other]), Offered::Unreadable, "{other}");
        }
        assert_eq!(key(&["Bearer abc", "Bearer abc"]), Offered::Unreadable);
    }

    #[test]
    fn a_key_of_a_message_goes_before_that_of_the_headers() {
        let early = Credentials { key: Offered::Token(Secret::new("a")), forwarded: true };
        assert_eq!(early.or(Offered::Nothing).key, early.key);
        assert_eq!(early.or(Offered::Unreadable).key, Offered::Unreadable);
        assert!(early.or(Offered::Unreadable).forwarded);
    }
}
