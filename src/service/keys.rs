//! Keys: made, shown once, listed and revoked.
//!
//! What a key opens is said in [`crate::service::access`]. A key never changes but by being revoked.

pub mod token;

use futures_util::future::BoxFuture;

use crate::entity::api_key::Model;
use crate::error::Error;
use crate::error::Result;
use crate::error::Rule;
use crate::service::Ctx;
use crate::service::access::Scope;
use crate::service::keys::token::Token;
use crate::store::Db;
use crate::store::Tx;
use crate::store::audit::Act;
use crate::store::keys;

/// Characters of a name.
const NAME: usize = 100;

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// What it opens.
    pub scope: Scope,
    /// Until when, in milliseconds since 1970; for ever when it is left out.
    pub expires_at: Option<i64>,
}

/// A key that was just made.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its row.
    pub row: Model,
    /// Its token, which nobody can tell again.
    pub token: Token,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It opens what its scope says.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// Where a key stands at `now_ms`.
#[must_use]
pub fn state(row: &Model, now_ms: i64) -> KeyState {
    match (row.revoked_at, row.expires_at) {
        (Some(_), _) => KeyState::Revoked,
        (None, Some(end)) if end <= now_ms => KeyState::Expired,
        (None, _) => KeyState::Active,
    }
}

/// Makes a key.
///
/// # Errors
/// [`Error::Invalid`].
pub async fn create(cx: &Ctx, new: NewKey) -> Result<Created> {
    let made = made(cx.db(), new)?;
    cx.write(writing(made.row.clone())).await?;
    Ok(made)
}

/// Makes a key in a database at hand: from the command line, beside whatever serves it.
///
/// # Errors
/// [`Error::Invalid`].
pub async fn create_in(db: &Db, new: NewKey) -> Result<Created> {
    let made = made(db, new)?;
    db.write(writing(made.row.clone())).await?;
    Ok(made)
}

/// Revokes a key: at once in this process, within five seconds in every other. Again, it changes nothing.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn revoke(cx: &Ctx, id: &str) -> Result<Model> {
    let row = cx.write(revoking(id)).await?;
    cx.gate().forget(id);
    Ok(row)
}

/// Revokes a key in a database at hand.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn revoke_in(db: &Db, id: &str) -> Result<Model> {
    Ok(db.write(revoking(id)).await?.value)
}

fn made(db: &Db, new: NewKey) -> Result<Created> {
    let NewKey { name, scope, expires_at } = new;
    let now = db.clock().now_ms();
    let mut flaws = Vec::new();
    let mut flaw = |field: &str, rule: Rule| flaws.push(crate::error::FieldError::new(field, rule));
    if name.trim().is_empty() {
        flaw("name", Rule::StringTooShort(1));
    } else if name.chars().count() > NAME {
        flaw("name", Rule::StringTooLong(NAME as u64));
    } else if name.chars().any(char::is_control) {
        flaw("name", Rule::Value("must not have control characters".to_owned()));
    }
    if expires_at.is_some_and(|end| end <= now) {
        flaw("expires_at", Rule::Value("must be in the future".to_owned()));
    }
    if !flaws.is_empty() {
        return Err(Error::Invalid(flaws));
    }
    let token = Token::generate()?;
    let row = Model {
        id: db.clock().new_id(),
        name,
        shown: token.shown().to_owned(),
        hash: token.hash(),
        scope: scope.name().to_owned(),
        namespaces: None,
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    Ok(Created { row, token })
}

fn writing(row: Model) -> impl for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<()>> + Send + Sync + 'static {
    move |tx| {
        let row = row.clone();
        Box::pin(async move {
            keys::insert(tx, &row).await?;
            tx.audit(Act::KeyCreated, &row.id);
            Ok(())
        })
    }
}

fn revoking(id: &str) -> impl for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<Model>> + Send + Sync + 'static {
    let id = id.to_owned();
    move |tx| {
        let id = id.clone();
        Box::pin(async move {
            // PostgreSQL cannot even be asked for it.
            let row = if id.contains('\0') { None } else { keys::revoke(tx, &id).await? };
            let row = row.ok_or_else(|| Error::not_found("API key", &id))?;
            tx.audit(Act::KeyRevoked, &id);
            Ok(row)
        })
    }
}
