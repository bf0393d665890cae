//! What stands in the headers of a list: how long it is (`X-Total-Count`), and where its other pages are (`Link`,
//! RFC 8288, relative to the request).

use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use serde::Serialize;

use crate::rest::extract::Call;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::service::lists::Window;

/// The header that tells how many rows the whole list has.
pub const TOTAL: &str = "x-total-count";

/// A page of a list, on its way to the caller.
#[derive(Debug)]
pub struct Listing<'a> {
    call: &'a Call,
    total: u64,
    links: Vec<String>,
}

impl<'a> Listing<'a> {
    /// A page of a list of `total` rows.
    #[must_use]
    pub const fn new(call: &'a Call, total: u64) -> Self {
        Self { call, total, links: Vec::new() }
    }

    /// With the page behind the cursor `next`, when there is one.
    #[must_use]
    pub fn next(mut self, next: Option<&str>) -> Self {
        self.links.extend(next.map(|next| self.call.link("next", &[("after", next.to_owned())])));
        self
    }

    /// With the pages around `window`.
    #[must_use]
    pub fn around(mut self, window: Window) -> Self {
        let Window { skip, limit } = window;
        if limit == 0 {
            return self;
        }
        let to =
            |rel: &str, skip: u64| self.call.link(rel, &[("skip", skip.to_string()), ("limit", limit.to_string())]);
        let mut links = Vec::new();
        if skip.saturating_add(limit) < self.total {
            links.push(to("next", skip + limit));
        }
        if skip > 0 {
            links.push(to("prev", skip.saturating_sub(limit)));
        }
        if self.total > limit {
            links.push(to("first", 0));
            links.push(to("last", (self.total - 1) / limit * limit));
        }
        self.links.extend(links);
        self
    }

    /// The answer.
    ///
    /// # Errors
    /// None that a body of ours can cause.
    pub fn answer(self, rows: &impl Serialize) -> Outcome {
        let mut response = json(StatusCode::OK, rows)?;
        let headers = response.headers_mut();
        headers.insert(TOTAL, HeaderValue::from(self.total));
        if let Some(links) = Some(self.links.join(", ")).filter(|links| !links.is_empty())
            && let Ok(links) = HeaderValue::try_from(links)
        {
            headers.insert(header::LINK, links);
        }
        Ok(response)
    }
}
