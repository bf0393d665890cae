//! `api_keys`: the statements about keys.

use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::QueryFilter;
use sea_orm::QueryOrder;

use crate::entity::api_key;
use crate::store::Db;
use crate::store::Tx;
use crate::store::page::Kind;
use crate::store::page::List;
use crate::store::page::Page;
use crate::store::page::Part;
use crate::store::page::Window;
use crate::store::read;
use crate::store::read::Columns;
use crate::store::read::FromRow;
use crate::store::sql::Sql;

/// All keys, newest first.
pub static KEYS: List =
    List { name: "keys", columns: &[("k.created_at", Kind::Int), ("k.id", Kind::Text)], descending: true };

/// The place of a key in [`KEYS`].
#[must_use]
pub fn key_of(row: &api_key::Model) -> Vec<Part> {
    vec![Part::Int(row.created_at), Part::Text(row.id.clone())]
}

impl FromRow for api_key::Model {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.text(at)?,
            name: row.text(at + 1)?,
            shown: row.text(at + 2)?,
            hash: row.bytes(at + 3)?,
            scope: row.text(at + 4)?,
            namespaces: row.text_or_null(at + 5)?,
            created_at: row.int(at + 6)?,
            expires_at: row.int_or_null(at + 7)?,
            revoked_at: row.int_or_null(at + 8)?,
        })
    }
}

/// Writes a new key.
///
/// # Errors
/// What the database says.
pub async fn insert(tx: &Tx, row: &api_key::Model) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push(
        "INSERT INTO api_keys (id, name, shown, hash, scope, namespaces, created_at, expires_at, revoked_at) VALUES (",
    );
    sql.bind(row.id.as_str()).push(", ").bind(row.name.as_str()).push(", ").bind(row.shown.as_str()).push(", ");
    sql.bind(row.hash.clone()).push(", ").bind(row.scope.as_str()).push(", ").bind(row.namespaces.clone());
    sql.push(", ").bind(row.created_at).push(", ").bind(row.expires_at).push(", ").bind(row.revoked_at).push(")");
    sql.run(tx).await?;
    Ok(())
}

/// Revokes a key; one that was revoked before stays as it is.
///
/// # Errors
/// What the database says.
pub async fn revoke(tx: &Tx, id: &str) -> Result<Option<api_key::Model>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE api_keys SET revoked_at = ").bind(tx.now_ms());
    sql.push(" WHERE revoked_at IS NULL AND id = ").bind(id);
    sql.run(tx).await?;
    api_key::Entity::find_by_id(id).one(tx).await
}

/// The keys whose tokens begin like this: one, if any.
///
/// # Errors
/// What the database says.
pub async fn by_shown(conn: &impl ConnectionTrait, shown: &str) -> Result<Vec<api_key::Model>, DbErr> {
    api_key::Entity::find().filter(api_key::Column::Shown.eq(shown)).all(conn).await
}

/// Every key, newest first.
///
/// # Errors
/// What the database says.
pub async fn all(conn: &impl ConnectionTrait) -> Result<Vec<api_key::Model>, DbErr> {
    api_key::Entity::find().order_by_desc(api_key::Column::CreatedAt).order_by_desc(api_key::Column::Id).all(conn).await
}

/// A page of the keys.
///
/// # Errors
/// What the database says.
pub async fn page(db: &Db, window: &Window) -> Result<Page<api_key::Model>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push(
        "SELECT k.id, k.name, k.shown, k.hash, k.scope, k.namespaces, k.created_at, k.expires_at, k.revoked_at \
         FROM api_keys k WHERE TRUE",
    );
    window.bounds(&mut sql);
    window.order(&mut sql);
    Ok(window.page(read::rows(db, sql).await?))
}

/// How many keys there are.
///
/// # Errors
/// What the database says.
pub async fn count(db: &Db) -> Result<i64, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT count(*) FROM api_keys");
    read::number(db, sql).await
}

/// Whether any key is valid at `now_ms`.
///
/// # Errors
/// What the database says.
pub async fn any_valid(conn: &impl ConnectionTrait, now_ms: i64) -> Result<bool, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT 1 FROM api_keys WHERE revoked_at IS NULL AND namespaces IS NULL AND (expires_at IS NULL OR expires_at > ");
    sql.bind(now_ms).push(") LIMIT 1");
    Ok(sql.one(conn).await?.is_some())
}
