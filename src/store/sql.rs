//! A statement in the making: text and values that cannot drift apart.
//!
//! Dialect differences of single expressions live here; everything else is SQL
//! that SQLite and PostgreSQL share.

use sea_orm::ConnectionTrait;
use sea_orm::DbBackend;
use sea_orm::DbErr;
use sea_orm::QueryResult;
use sea_orm::Statement;
use sea_orm::Value;

/// How many parameters one statement may have, with room below what SQLite (32,766) and PostgreSQL (65,535) take.
const PARAMETERS: usize = 30_000;

/// Rows that one `INSERT … SELECT` copies.
pub const COPIES: usize = 5000;

/// How many rows of so many columns one `INSERT` may have.
#[must_use]
pub const fn rows_of(columns: usize) -> usize {
    PARAMETERS / columns
}

/// A statement in the making.
#[derive(Debug, Clone)]
pub struct Sql {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// An empty statement for the database behind `conn`.
    pub fn new(conn: &impl ConnectionTrait) -> Self {
        Self::of(conn.get_database_backend())
    }

    /// An empty statement for `backend`.
    #[must_use]
    pub const fn of(backend: DbBackend) -> Self {
        Self { backend, text: String::new(), values: Vec::new() }
    }

    /// Whether this is for PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.backend == DbBackend::Postgres
    }

    /// Adds text, as it is.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a placeholder and its value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        // PostgreSQL infers the type of a bare placeholder from its surroundings, and has none in a select list.
        let cast = match (&value, self.is_postgres()) {
            (Value::BigInt(_), true) => "::bigint",
            (Value::Int(_), true) => "::int",
            (Value::Bytes(_), true) => "::bytea",
            (Value::Bool(_), true) => "::boolean",
            (Value::String(_), true) => "::text",
            _ => "",
        };
        self.values.push(value);
        let mark = if self.is_postgres() { '$' } else { '?' };
        self.text.push_str(&format!("{mark}{}{cast}", self.values.len()));
        self
    }

    /// Adds `(SELECT …)` over a list of ids: one placeholder, however many there are.
    pub fn bind_ids<S: AsRef<str>>(&mut self, ids: &[S]) -> &mut Self {
        let json = json_list(ids);
        if self.is_postgres() {
            self.push("(SELECT json_array_elements_text((").bind(json).push(")::json))")
        } else {
            self.push("(SELECT value FROM json_each(").bind(json).push("))")
        }
    }

    /// Adds a placeholder whose value is the list as JSON.
    pub fn bind_list<S: AsRef<str>>(&mut self, ids: &[S]) -> &mut Self {
        self.bind(json_list(ids))
    }

    /// Adds `column = any of ids` in the form that uses an index on `column`.
    pub fn is_any<S: AsRef<str>>(&mut self, column: &str, ids: &[S]) -> &mut Self {
        self.push(column);
        if self.is_postgres() {
            self.push(" = ANY (ARRAY").bind_ids(ids).push(")")
        } else {
            self.push(" IN ").bind_ids(ids)
        }
    }

    /// Adds a table `name` over lists of texts; [`Self::push_nth`] names their items.
    pub fn bind_lists<const N: usize>(&mut self, lists: &[[&str; N]], name: &str) -> &mut Self {
        let mut json = String::from("[");
        for (i, list) in lists.iter().enumerate() {
            if i > 0 {
                json.push(',');
            }
            json.push_str(&json_list(list));
        }
        json.push(']');
        if self.is_postgres() {
            self.push("json_array_elements((").bind(json).push(")::json) ").push(name).push("(value)")
        } else {
            self.push("json_each(").bind(json).push(") ").push(name)
        }
    }

    /// Adds item `place` of a row of [`Self::bind_lists`].
    pub fn push_nth(&mut self, name: &str, place: usize) -> &mut Self {
        let item = if self.is_postgres() {
            format!("({name}.value ->> {place})")
        } else {
            format!("json_extract({name}.value, '$[{place}]')")
        };
        self.push(&item)
    }

    /// Adds a test whether the text `column` holds `part`.
    pub fn contains(&mut self, column: &str, part: &str) -> &mut Self {
        let find = if self.is_postgres() { "strpos" } else { "instr" };
        self.push(find).push("(").push(column).push(", ").bind(part).push(") > 0")
    }

    /// The finished statement.
    #[must_use]
    pub fn statement(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }

    /// The text and the values, for a reader that is not SeaORM's.
    #[must_use]
    pub fn into_parts(self) -> (String, Vec<Value>) {
        (self.text, self.values)
    }

    /// Runs it and gives all rows.
    ///
    /// # Errors
    /// What the database says.
    pub async fn all(self, conn: &impl ConnectionTrait) -> Result<Vec<QueryResult>, DbErr> {
        conn.query_all_raw(self.statement()).await
    }

    /// Runs it and gives the first row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn one(self, conn: &impl ConnectionTrait) -> Result<Option<QueryResult>, DbErr> {
        conn.query_one_raw(self.statement()).await
    }

    /// Runs it and gives the number of rows it changed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn run(self, conn: &impl ConnectionTrait) -> Result<u64, DbErr> {
        Ok(conn.execute_raw(self.statement()).await?.rows_affected())
    }
}

fn json_list<S: AsRef<str>>(ids: &[S]) -> String {
    let mut json = String::from("[");
    // No row has an id with U+0000, and PostgreSQL cannot even be asked for it.
    for id in ids.iter().filter(|id| !id.as_ref().contains('\0')) {
        if json.len() > 1 {
            json.push(',');
        }
        crate::json::write_string(id.as_ref(), &mut json);
    }
    json.push(']');
    json
}

/// Folds text for substring search: by Unicode's full case mappings, upper then lower, so that `ß` finds `SS`.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_uppercase().to_lowercase() }
}
