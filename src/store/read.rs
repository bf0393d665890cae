//! How the statements of the graph are run, and how their rows are read.
//!
//! A row type says once how it is read from [`Columns`]; which driver has run the
//! statement is decided in [`rows`] alone.

use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::Db;
use crate::store::sql::Sql;

/// The columns of one row, by place.
pub trait Columns {
    /// A text.
    ///
    /// # Errors
    /// When the column holds something else.
    fn text(&self, at: usize) -> Result<String, DbErr>;
    /// A text or NULL.
    ///
    /// # Errors
    /// When the column holds something else.
    fn text_or_null(&self, at: usize) -> Result<Option<String>, DbErr>;
    /// A whole number of 64 bits.
    ///
    /// # Errors
    /// When the column holds something else.
    fn int(&self, at: usize) -> Result<i64, DbErr>;
    /// A whole number of 64 bits or NULL.
    ///
    /// # Errors
    /// When the column holds something else.
    fn int_or_null(&self, at: usize) -> Result<Option<i64>, DbErr>;
    /// A whole number of 32 bits.
    ///
    /// # Errors
    /// When the column holds something else.
    fn short(&self, at: usize) -> Result<i32, DbErr>;
    /// True or false.
    ///
    /// # Errors
    /// When the column holds something else.
    fn flag(&self, at: usize) -> Result<bool, DbErr>;
    /// Bytes.
    ///
    /// # Errors
    /// When the column holds something else.
    fn bytes(&self, at: usize) -> Result<Vec<u8>, DbErr>;
}

impl Columns for QueryResult {
    fn text(&self, at: usize) -> Result<String, DbErr> {
        self.try_get_by_index(at)
    }

    fn text_or_null(&self, at: usize) -> Result<Option<String>, DbErr> {
        self.try_get_by_index(at)
    }

    fn int(&self, at: usize) -> Result<i64, DbErr> {
        self.try_get_by_index(at)
    }

    fn int_or_null(&self, at: usize) -> Result<Option<i64>, DbErr> {
        self.try_get_by_index(at)
    }

    fn short(&self, at: usize) -> Result<i32, DbErr> {
        self.try_get_by_index(at)
    }

    fn flag(&self, at: usize) -> Result<bool, DbErr> {
        self.try_get_by_index(at)
    }

    fn bytes(&self, at: usize) -> Result<Vec<u8>, DbErr> {
        self.try_get_by_index(at)
    }
}

/// A row type.
pub trait FromRow: Sized + Send + 'static {
    /// Reads the columns from `at` on.
    ///
    /// # Errors
    /// When the columns are others.
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr>;
}

/// A number: of what was counted, of a parent's place.
impl FromRow for i64 {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        row.int(at)
    }
}

/// Bytes: of a vector.
impl FromRow for Vec<u8> {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        row.bytes(at)
    }
}

/// A row after one other column: its parent's place, mostly.
impl<A: FromRow, B: FromRow> FromRow for (A, B) {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        Ok((A::read(row, at)?, B::read(row, at + 1)?))
    }
}

/// Runs a statement that reads, and gives its rows.
///
/// # Errors
/// What the database says.
pub async fn rows<T: FromRow>(db: &Db, sql: Sql) -> Result<Vec<T>, DbErr> {
    let Some(readers) = db.readers() else {
        return sql.all(db.read()).await?.iter().map(|row| T::read(row, 0)).collect();
    };
    let (text, values) = sql.into_parts();
    db.statements().note(&text);
    let _turn = db.read().turn().await?;
    readers.rows(text, values).await
}

/// Runs a statement that reads one number.
///
/// # Errors
/// What the database says.
pub async fn number(db: &Db, sql: Sql) -> Result<i64, DbErr> {
    Ok(rows(db, sql).await?.first().copied().unwrap_or(0))
}
