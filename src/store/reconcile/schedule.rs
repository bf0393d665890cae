//! `sync_checks`: when each scheduled check was taken last. Among several processes the row decides.

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;

use crate::store::Tx;
use crate::store::sql::Sql;

/// A check that comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// Slots against rows.
    Rows,
    /// How many records each namespace has.
    Count,
    /// Every record.
    Full,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rows, Self::Count, Self::Full];

    /// The name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Count => "count",
            Self::Full => "full",
        }
    }
}

/// When each check was taken last; those that never were are left out.
///
/// # Errors
/// What the database says.
pub async fn taken(conn: &impl ConnectionTrait, target_id: i64) -> Result<Vec<(Check, i64)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT name, taken_at FROM sync_checks WHERE target_id = ").bind(target_id);
    let mut found = Vec::new();
    for row in sql.all(conn).await? {
        let name: String = row.try_get_by_index(0)?;
        if let Some(check) = Check::ALL.into_iter().find(|check| check.name() == name) {
            found.push((check, row.try_get_by_index(1)?));
        }
    }
    Ok(found)
}

/// Takes a check; false when it is not due, or somebody else has it. The first one comes one interval after the
/// first time it is asked for.
///
/// # Errors
/// What the database says.
pub async fn take(tx: &Tx, target_id: i64, check: Check, every_ms: i64) -> Result<bool, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("INSERT INTO sync_checks (target_id, name, taken_at) VALUES (").bind(target_id).push(", ");
    sql.bind(check.name()).push(", ").bind(tx.now_ms()).push(") ON CONFLICT (target_id, name) DO NOTHING");
    sql.run(tx).await?;
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_checks SET taken_at = ").bind(tx.now_ms()).push(" WHERE target_id = ").bind(target_id);
    sql.push(" AND name = ").bind(check.name()).push(" AND (taken_at <= ").bind(tx.now_ms() - every_ms);
    // A clock that was set back must not keep it away.
    sql.push(" OR taken_at > ").bind(tx.now_ms()).push(")");
    Ok(sql.run(tx).await? == 1)
}

/// Counts a strike, or takes all of them back; gives how many there are now.
///
/// # Errors
/// What the database says.
pub async fn strike(tx: &Tx, target_id: i64, check: Check, differs: bool) -> Result<i64, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_checks SET strikes = ").push(if differs { "strikes + 1" } else { "0" });
    sql.push(" WHERE target_id = ").bind(target_id).push(" AND name = ").bind(check.name()).push(" RETURNING strikes");
    sql.one(tx).await?.map_or(Ok(0), |row| row.try_get_by_index(0))
}
