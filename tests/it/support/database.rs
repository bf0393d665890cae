//! Where a test's database is.

use corpusd::clock::Clock;
use tempfile::TempDir;

/// The URL of an empty database: a file in `folder`, or a new schema of the PostgreSQL server under test.
pub async fn database_url(folder: &TempDir) -> String {
    match std::env::var_os("CORPUSD_TEST_DATABASE_URL") {
        None => format!("sqlite:{}", folder.path().join("corpus.db").display()),
        Some(server) => {
            let server = server.into_string().expect("a UTF-8 URL");
            let schema = format!("t{}", Clock::system().new_id().replace('-', ""));
            let pool = sqlx::PgPool::connect(&server).await.expect("the PostgreSQL server under test answers");
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
                .execute(&pool)
                .await
                .expect("a schema is made");
            pool.close().await;
            let gap = if server.contains('?') { '&' } else { '?' };
            format!("{server}{gap}options=-c%20search_path%3D{schema}")
        }
    }
}
