//! Documents that a client names instead of sending them.
//!
//! Two kinds. *Automatic* ones, as Apollo's clients speak of them: a hash that is
//! not known yet is answered so, the client sends the document once with it, and
//! from then on the hash is enough. They are kept in memory, at most so many, and
//! those that were not asked for the longest make room. *Trusted* ones come from a
//! manifest; where only these are answered, nothing else is. Either way a document
//! is judged as any other, each time.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_graphql::Request;
use async_graphql::ServerError;
use async_graphql::Value;
use ring::digest::SHA256;
use ring::digest::digest;

use crate::config::PersistedConfig;
use crate::config::Trust;
use crate::error::Code;
use crate::graphql::error;
use crate::graphql::http::refused;

/// The member of a request's extensions that names a document.
pub const EXTENSION: &str = "persistedQuery";
/// The code of a hash that is not known, which has the client send the document.
const NOT_FOUND: &str = "PERSISTED_QUERY_NOT_FOUND";
/// The code of a server that knows no hashes, which has the client send documents.
const NOT_SUPPORTED: &str = "PERSISTED_QUERY_NOT_SUPPORTED";
/// The code of a document that is not trusted.
const NOT_TRUSTED: &str = "QUERY_NOT_IN_SAFELIST";

/// SHA-256.
type Hash = [u8; 32];

/// The documents that can be named.
#[derive(Debug)]
pub struct Persisted {
    config: PersistedConfig,
    /// The hashes of trusted documents.
    trusted: HashSet<Hash>,
    kept: Mutex<Kept>,
}

/// What to keep once a document was found to be fine.
#[derive(Debug, Clone, Copy)]
pub struct Keep(Option<Hash>);

impl Persisted {
    /// The documents that `config` trusts, and none else yet.
    #[must_use]
    pub fn new(config: &PersistedConfig) -> Self {
        let trusted = config.documents.values().map(|text| hash_of(text)).collect();
        Self { config: config.clone(), trusted, kept: Mutex::default() }
    }

    /// Puts the document that the request names into it.
    ///
    /// # Errors
    /// `PERSISTED_QUERY_NOT_FOUND`, `PERSISTED_QUERY_NOT_SUPPORTED`, `QUERY_NOT_IN_SAFELIST`, or `BAD_USER_INPUT` for a
    /// hash that is none or another document's.
    pub fn resolve(&self, request: &mut Request) -> Result<Keep, ServerError> {
        let named = match request.extensions.get(EXTENSION) {
            Some(named) => Some(Named::read(named)?),
            None => None,
        };
        if request.query.is_empty() {
            // Whoever sends neither was refused before.
            let Some(named) = named else { return Ok(Keep(None)) };
            request.query = self.find(&named)?;
            return Ok(Keep(None));
        }
        let own = hash_of(&request.query);
        if let Some(Named { hash: Some(hash), .. }) = &named
            && *hash != own
        {
            let sentence = "sha256Hash: is not the SHA-256 of the query".to_owned();
            let field = format!("extensions.{EXTENSION}.sha256Hash");
            return Err(refused(Code::BadUserInput, format!("extensions.{EXTENSION}.{sentence}"), Some(field)));
        }
        match self.config.trust {
            Trust::Only if !self.trusted.contains(&own) => {
                Err(refusal("This server answers trusted documents only", NOT_TRUSTED))
            }
            Trust::Only => Ok(Keep(None)),
            Trust::Off | Trust::Allow => Ok(Keep(named.and_then(|named| named.hash).filter(|_| self.config.automatic))),
        }
    }

    /// Keeps a document that was found to be fine, so that its hash is enough from now on.
    pub fn keep(&self, keep: Keep, query: &str) {
        if let Keep(Some(hash)) = keep {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.put(hash, query, self.config.count, self.config.bytes);
        }
    }

    fn find(&self, named: &Named) -> Result<String, ServerError> {
        if self.config.trust != Trust::Off
            && let Some(text) = self.config.documents.get(&named.id)
        {
            return Ok(text.clone());
        }
        let automatic = self.config.automatic && self.config.trust != Trust::Only;
        if !automatic && self.config.trust == Trust::Off {
            return Err(refusal("PersistedQueryNotSupported", NOT_SUPPORTED));
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = named.hash.filter(|_| automatic).and_then(|hash| kept.get(&hash));
        found.map(|text| text.to_string()).ok_or_else(|| refusal("PersistedQueryNotFound", NOT_FOUND))
    }
}

/// How a request names a document.
struct Named {
    /// As it was written.
    id: String,
    /// The hash that this is, when it is one.
    hash: Option<Hash>,
}

impl Named {
    fn read(value: &Value) -> Result<Self, ServerError> {
        let wrong = |name: &str, why: &str| {
            let field = format!("extensions.{EXTENSION}{name}");
            refused(Code::BadUserInput, format!("{field}: {why}"), Some(field))
        };
        let Value::Object(members) = value else { return Err(wrong("", "must be an object")) };
        match members.get("version") {
            Some(Value::Number(version)) if version.as_i64() == Some(1) => {}
            Some(_) | None => return Err(wrong(".version", "must be 1")),
        }
        match members.get("sha256Hash") {
            Some(Value::String(id)) => Ok(Self { id: id.clone(), hash: hash(id) }),
            Some(_) | None => Err(wrong(".sha256Hash", "must be a string")),
        }
    }
}

/// Documents by hash, and when each was asked for last.
#[derive(Debug, Default)]
struct Kept {
    documents: HashMap<Hash, (Arc<str>, u64)>,
    bytes: usize,
    turn: u64,
}

impl Kept {
    fn get(&mut self, hash: &Hash) -> Option<Arc<str>> {
        self.turn += 1;
        let (text, asked) = self.documents.get_mut(hash)?;
        *asked = self.turn;
        Some(text.clone())
    }

    fn put(&mut self, hash: Hash, text: &str, count: usize, bytes: usize) {
        if text.len() > bytes || self.get(&hash).is_some() {
            return;
        }
        while self.documents.len() >= count || self.bytes + text.len() > bytes {
            let oldest = self.documents.iter().min_by_key(|(_, (_, asked))| *asked).map(|(hash, _)| *hash);
            let Some((gone, _)) = oldest.and_then(|hash| self.documents.remove(&hash)) else { return };
            self.bytes -= gone.len();
        }
        self.bytes += text.len();
        self.documents.insert(hash, (text.into(), self.turn));
    }
}

/// The hash of a document.
fn hash_of(text: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// A hash from its 64 digits.
fn hash(digits: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// Whether an id is a hash, and not that of `text`.
#[must_use]
pub fn contradicts(id: &str, text: &str) -> bool {
    hash(id).is_some_and(|hash| hash != hash_of(text))
}

fn refusal(message: &str, code: &str) -> ServerError {
    error::coded(ServerError::new(message, None), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_the_longest_makes_room() {
        let mut kept = Kept::default();
        let texts = ["aaaa", "bbbb", "cccc", "dddd"];
        let there = |kept: &mut Kept| texts.map(|text| kept.documents.contains_key(&hash_of(text)));
        for text in &texts[..3] {
            kept.put(hash_of(text), text, 3, 1_000);
        }
        assert!(kept.get(&hash_of("aaaa")).is_some());
        kept.put(hash_of("dddd"), "dddd", 3, 1_000);
        assert_eq!(there(&mut kept), [true, false, true, true]);
        // Bytes count as well, and what is too large for all is not kept.
        kept.put(hash_of("bbbb"), "bbbb", 3, 8);
        assert_eq!((there(&mut kept), kept.bytes), ([false, true, false, true], 8));
        kept.put(hash_of("123456789"), "123456789", 3, 8);
        assert_eq!((there(&mut kept), kept.bytes), ([false, true, false, true], 8));
    }

    #[test]
    fn a_hash_is_sixty_four_digits_of_either_case() {
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash(digits), Some(hash_of("")));
        assert_eq!(hash(&digits.to_uppercase()), Some(hash_of("")));
        for wrong in ["", "e3", &digits[1..], &digits.replace('e', "g"), &"é".repeat(32)] {
            assert_eq!(hash(wrong), None);
        }
    }
}
