//! Pages of a list: a limit, and a token that says after which item the next one begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::emulator::refusal::Refusal;
use crate::emulator::wire::object;
use crate::emulator::wire::text;
use crate::json::Json;

/// One page of a list that is ordered by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The last item of the page before.
    pub after: Option<String>,
    /// Items at most.
    pub limit: usize,
}

impl Page {
    /// Reads what a request says of it.
    ///
    /// # Errors
    /// When the limit is not from 1 to `max`, or the token is none of ours.
    pub fn read(limit: Option<i64>, max: usize, token: Option<&str>) -> Result<Self, Refusal> {
        let limit = match limit {
            None => 100,
            Some(limit) => usize::try_from(limit)
                .ok()
                .filter(|limit| (1..=max).contains(limit))
                .ok_or_else(|| Refusal::invalid(format!("limit must be between 1 and {max}, but got {limit}")))?,
        };
        let after = token.filter(|token| !token.is_empty()).map(decode).transpose()?;
        Ok(Self { after, limit })
    }

    /// The items of this page, and the token of the next one.
    pub fn cut<T>(&self, items: impl Iterator<Item = T>, name: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let mut items: Vec<T> = items.take(self.limit + 1).collect();
        if items.len() <= self.limit {
            return (items, None);
        }
        items.truncate(self.limit);
        let token = items.last().map(|last| URL_SAFE_NO_PAD.encode(name(last)));
        (items, token)
    }
}

fn decode(token: &str) -> Result<String, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| Refusal::invalid("paginationToken is not a token of this list"))
}

/// `pagination` of an answer; the last page has none.
pub fn pagination(token: Option<String>) -> Option<(String, Json)> {
    token.map(|token| ("pagination".to_owned(), object([("next", text(token))])))
}
