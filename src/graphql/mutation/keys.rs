//! Mutations of keys.

use async_graphql::Context;
use async_graphql::ID;
use async_graphql::InputObject;
use async_graphql::Object;
use async_graphql::SimpleObject;

use crate::error::Result;
use crate::graphql::key::ApiKey;
use crate::graphql::key::ApiKeyScope;
use crate::graphql::mutation::of_input;
use crate::graphql::query::cx;
use crate::graphql::scalars::DateTime;
use crate::service::keys;
use crate::service::keys::NewKey;

/// What `createApiKey` takes.
#[derive(InputObject)]
struct CreateApiKeyInput {
    /// What it is for: 1 to 100 characters.
    name: String,
    /// What it opens.
    scope: ApiKeyScope,
    /// From when on it is not valid any more; never when it is left out.
    expires_at: Option<DateTime>,
}

/// What `createApiKey` answers.
#[derive(SimpleObject)]
struct CreateApiKeyPayload {
    /// The key.
    api_key: ApiKey,
    /// Its token, for `Authorization: Bearer`. It is told now and never again.
    token: String,
}

/// What `revokeApiKey` takes.
#[derive(InputObject)]
struct RevokeApiKeyInput {
    /// The key.
    id: ID,
}

/// What `revokeApiKey` answers.
#[derive(SimpleObject)]
struct RevokeApiKeyPayload {
    /// The key as it is now.
    api_key: ApiKey,
}

/// Mutations of keys.
#[derive(Default)]
pub struct KeyMutations;

#[Object]
impl KeyMutations {
    /// Makes a key. Needs the scope ADMIN.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: CreateApiKeyInput,
    ) -> Result<CreateApiKeyPayload> {
        let CreateApiKeyInput { name, scope, expires_at } = input;
        let expires_at = expires_at.map(|DateTime(us)| us.div_euclid(1000));
        let created = of_input(keys::create(cx(ctx), NewKey { name, scope: scope.into(), expires_at }).await)?;
        Ok(CreateApiKeyPayload { api_key: ApiKey(created.row), token: created.token.reveal().to_owned() })
    }

    /// Revokes a key: within five seconds nobody is let in with it, and connections that came in with it are closed.
    /// Needs the scope ADMIN.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: RevokeApiKeyInput,
    ) -> Result<RevokeApiKeyPayload> {
        Ok(RevokeApiKeyPayload { api_key: ApiKey(of_input(keys::revoke(cx(ctx), &input.id).await)?) })
    }
}
