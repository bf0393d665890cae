//! Keys, as admins see them: never their tokens.

use async_graphql::Context;
use async_graphql::Enum;
use async_graphql::ID;
use async_graphql::Object;

use crate::entity::api_key::Model;
use crate::error::Error;
use crate::error::Result;
use crate::graphql::level::At;
use crate::graphql::level::Row;
use crate::graphql::page::Listed;
use crate::graphql::query::cx;
use crate::graphql::scalars::DateTime;
use crate::service::access::Scope;
use crate::service::keys;
use crate::service::keys::KeyState;
use crate::store;
use crate::store::page::List;
use crate::store::page::Part;

/// A key that opens the API.
#[derive(Debug, Clone)]
pub struct ApiKey(pub Model);

impl Row for Model {
    type Memo = ();
}

impl Listed for ApiKey {
    type Row = Model;
    const NAMES: (&'static str, &'static str) = ("ApiKeyConnection", "ApiKeyEdge");

    fn of(row: At<Model>) -> Self {
        Self(Model::clone(&row))
    }

    fn key(row: &Model, _list: &List) -> Vec<Part> {
        store::keys::key_of(row)
    }
}

/// What a key opens. Each opens what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Scope")]
pub enum ApiKeyScope {
    /// Reading the corpus and the state of its index.
    Read,
    /// Changing documents, chunks and embeddings.
    Write,
    /// Driving the index: syncs, checks, removal of records.
    Sync,
    /// Keys, and what cannot be undone by sending again.
    Admin,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "KeyState")]
pub enum ApiKeyState {
    /// It opens what its scope says.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// A key that opens the API.
#[Object]
impl ApiKey {
    /// Its id, which is no secret.
    async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// What it is for.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The first characters of its token.
    async fn prefix(&self) -> &str {
        &self.0.shown
    }

    /// What it opens.
    #[expect(clippy::unused_async, reason = "a resolver is")]
    async fn scope(&self) -> Result<ApiKeyScope> {
        let scope = Scope::from_name(&self.0.scope).map(Into::into);
        scope.ok_or_else(|| Error::internal(anyhow::anyhow!("a key has the scope {}", self.0.scope)))
    }

    /// Where it stands.
    async fn state(&self, ctx: &Context<'_>) -> ApiKeyState {
        keys::state(&self.0, cx(ctx).db().clock().now_ms()).into()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime::of_ms(self.0.created_at)
    }

    /// From when on it is not valid any more; null when that is never.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime::of_ms)
    }

    /// When it was revoked.
    async fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime::of_ms)
    }
}
