//! Who asks, and what they may.
//!
//! A key is looked up by the part of its token that is no secret, and compared by its hash. What was found is
//! believed for a moment, so that a key that is revoked elsewhere is refused here within five seconds: an answer of
//! the database is at most [`AGE`] old, a connection that stays open is looked at every [`WATCH`], and a look
//! takes at most [`PATIENCE`]. What the database cannot be asked about is not let in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ring::hmac;
use tokio::sync::watch;

use crate::config::Anonymous;
use crate::credentials::Credentials;
use crate::credentials::Offered;
use crate::entity::api_key::Model;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::keys::token::Token;
use crate::store::Db;
use crate::store::audit::Actor;
use crate::store::audit::ActorKind;
use crate::store::keys;

/// How long an answer of the database is believed.
const AGE: Duration = Duration::from_millis(1500);
/// How often the key of a connection that stays open is looked at.
const WATCH: Duration = Duration::from_millis(1500);
/// How long such a look may take.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How many keys are remembered.
const KNOWN: usize = 1024;

/// What a key opens; each opens what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Reading the corpus and the state of its index.
    Read,
    /// Changing documents, chunks and embeddings.
    Write,
    /// Driving the index: exports, checks, removal of records.
    Sync,
    /// Keys, the audit log, and what cannot be undone by sending again.
    Admin,
}

impl Scope {
    /// All of them, the smallest first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Sync, Self::Admin];

    /// The name in the database and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Principal {
    /// This process itself: its command line, its engine.
    Process,
    /// Somebody without a key, where such are let in.
    Anonymous,
    /// The holder of a key.
    Key(Arc<Holder>),
}

/// A key that was found to be valid.
#[derive(Debug)]
pub struct Holder {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it opens.
    pub scope: Scope,
    expires_at: Option<i64>,
    token: Token,
}

impl Principal {
    /// What they may.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Process | Self::Anonymous => Scope::Admin,
            Self::Key(holder) => holder.scope,
        }
    }

    /// Who that is, for the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Process => Actor::PROCESS,
            Self::Anonymous => Actor { kind: ActorKind::Anonymous, key: None },
            Self::Key(holder) => Actor { kind: ActorKind::Key, key: Some((holder.id.clone(), holder.name.clone())) },
        }
    }

    /// Refuses who may not do `what`, which needs `scope`.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn require(&self, scope: Scope, what: &str) -> Result<()> {
        if self.scope() >= scope {
            return Ok(());
        }
        Err(Error::Forbidden { what: what.to_owned(), scope: scope.name() })
    }
}

/// What is known of keys for a moment. A process has one.
#[derive(Debug, Default)]
pub struct Gate {
    known: Mutex<HashMap<Vec<u8>, Known>>,
    /// Changes when a key was revoked here.
    revoked: watch::Sender<()>,
}

#[derive(Debug, Clone)]
struct Known {
    holder: Arc<Holder>,
    /// By the monotonic clock, before the database was asked.
    asked: Duration,
}

impl Gate {
    /// The holder of a token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], or [`Error::Unavailable`] when the database does not say.
    async fn holder(&self, db: &Db, token: Token) -> Result<Arc<Holder>> {
        let asked = db.clock().monotonic();
        let hash = token.hash();
        let known = self.lock().get(&hash).filter(|known| asked.saturating_sub(known.asked) <= AGE).cloned();
        let holder = match known {
            Some(known) => known.holder,
            None => {
                let found = keys::by_shown(db.read(), token.shown()).await.map_err(|error| {
                    tracing::warn!(%error, "a key cannot be looked up");
                    unknown()
                })?;
                let row = found.into_iter().find(|row| same(&row.hash, &hash));
                let holder = row.and_then(|row| holder(row, token));
                let holder = Arc::new(holder.ok_or(Error::Unauthenticated { given: true })?);
                self.remember(hash, Known { holder: holder.clone(), asked });
                holder
            }
        };
        let expired = holder.expires_at.is_some_and(|end| end <= db.clock().now_ms());
        if expired { Err(Error::Unauthenticated { given: true }) } else { Ok(holder) }
    }

    fn remember(&self, hash: Vec<u8>, new: Known) {
        let mut known = self.lock();
        if known.len() >= KNOWN {
            known.retain(|_, old| new.asked.saturating_sub(old.asked) <= AGE);
        }
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(hash, new);
    }

    /// How many keys are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.lock().len()
    }

    /// Takes note that a key was revoked in this process.
    pub fn forget(&self, id: &str) {
        self.lock().retain(|_, known| known.holder.id != id);
        self.revoked.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares two hashes in a time that tells nothing of them: ring's comparison is that of message authentication.
fn same(stored: &[u8], given: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, stored);
    hmac::verify(&key, given, hmac::sign(&key, stored).as_ref()).is_ok()
}

/// The holder of a row's key. A restriction or a scope that this version does not know is not taken for none.
fn holder(row: Model, token: Token) -> Option<Holder> {
    let Model { id, name, shown: _, hash: _, scope, namespaces, created_at: _, expires_at, revoked_at } = row;
    let scope = Scope::from_name(&scope)?;
    (revoked_at.is_none() && namespaces.is_none()).then_some(Holder { id, name, scope, expires_at, token })
}

/// Why a connection that was let in may not stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse {
    /// Its key is not valid any more.
    Refused,
    /// The database does not say whether it is.
    Unknown,
}

impl Lapse {
    /// What a request that waits is told.
    #[must_use]
    pub fn error(self) -> Error {
        match self {
            Self::Refused => Error::Unauthenticated { given: true },
            Self::Unknown => unknown(),
        }
    }
}

fn unknown() -> Error {
    let detail = "The database does not answer".to_owned();
    Error::Unavailable { detail, retry_after: Some(Duration::from_secs(1)), job_id: None }
}

impl Ctx {
    /// The context of a request that came with these credentials.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], or [`Error::Unavailable`] when the database does not say.
    pub async fn admit(&self, credentials: &Credentials) -> Result<Self> {
        let principal = match &credentials.key {
            Offered::Nothing if self.lets_in(credentials) => Principal::Anonymous,
            Offered::Nothing => return Err(Error::Unauthenticated { given: false }),
            Offered::Unreadable => return Err(Error::Unauthenticated { given: true }),
            Offered::Token(text) => {
                let token = Token::read(text.reveal()).ok_or(Error::Unauthenticated { given: true })?;
                Principal::Key(self.gate.holder(&self.db, token).await?)
            }
        };
        Ok(Self { principal, ..self.for_request() })
    }

    /// Whether somebody without a key is let in.
    fn lets_in(&self, credentials: &Credentials) -> bool {
        match self.config.server.anonymous {
            Anonymous::Yes => true,
            Anonymous::No => false,
            // A proxy on this machine asks for others.
            Anonymous::Auto => self.config.server.is_loopback() && !credentials.forwarded,
        }
    }

    /// Who asks.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What is known of keys.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Ends when who asks may not stay; never, for those without a key.
    #[must_use]
    pub fn lapsed(&self) -> BoxFuture<'static, Lapse> {
        let Principal::Key(holder) = &self.principal else { return std::future::pending().boxed() };
        let (cx, token) = (self.clone(), holder.token.clone());
        let mut revoked = self.gate.revoked.subscribe();
        async move {
            loop {
                // Sooner when one was revoked here; the sender lives as long as the context.
                let _ = tokio::time::timeout(WATCH, revoked.changed()).await;
                let look = cx.gate.holder(&cx.db, token.clone());
                match tokio::time::timeout(PATIENCE, look).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(Error::Unauthenticated { .. })) => return Lapse::Refused,
                    Ok(Err(_)) | Err(_) => return Lapse::Unknown,
                }
            }
        }
        .boxed()
    }

    /// Ends when an answer that goes on must end: the server stops, or who asks may not stay.
    pub async fn dismissed(&self) {
        tokio::select! {
            () = self.events.closed() => {}
            _ = self.lapsed() => {}
        }
    }

    /// Whether the address that is configured may be listened on: somebody must be able to come in, and others
    /// must be kept out, unless everybody is let in on purpose.
    ///
    /// # Errors
    /// What the database says.
    pub async fn may_listen(&self) -> Result<bool> {
        let server = &self.config.server;
        if server.is_loopback() || server.anonymous == Anonymous::Yes {
            return Ok(true);
        }
        Ok(keys::any_valid(self.read(), self.db.clock().now_ms()).await?)
    }
}
