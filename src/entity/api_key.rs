//! `api_keys`: who may ask, and for what.

use sea_orm::entity::prelude::*;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    /// A UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What it is for.
    pub name: String,
    /// The first characters of its token: how it is found, and told from others.
    pub shown: String,
    /// SHA-256 of its token.
    pub hash: Vec<u8>,
    /// `read`, `write`, `sync` or `admin`.
    pub scope: String,
    /// The namespaces it is restricted to, as a JSON list; NULL = all of them.
    pub namespaces: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// From when on it is not valid any more.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
