//! The filter language of metadata as SQL: the same answers as [`Filter::matches`] gives.
//!
//! One difference remains on PostgreSQL, whose casts fail beyond a float's range: a
//! stored number with an exponent of three digits matches no comparison there.

use crate::filter::Filter;
use crate::filter::Scalar;
use crate::filter::Test;
use crate::store::sql::Sql;

/// Adds the condition on the JSON text in `column`. It is never NULL.
pub fn push(sql: &mut Sql, filter: &Filter, column: &str) {
    match filter {
        Filter::All(all) => list(sql, all, " AND ", "TRUE", column),
        Filter::Any(any) => list(sql, any, " OR ", "FALSE", column),
        Filter::Field { name, test } => field(sql, name, test, column),
    }
}

fn list(sql: &mut Sql, filters: &[Filter], sign: &str, none: &str, column: &str) {
    if filters.is_empty() {
        sql.push(none);
        return;
    }
    sql.push("(");
    for (i, one) in filters.iter().enumerate() {
        if i > 0 {
            sql.push(sign);
        }
        push(sql, one, column);
    }
    sql.push(")");
}

fn field(sql: &mut Sql, name: &str, test: &Test, column: &str) {
    // A missing entry passes these: they say that there is no entry of the kind.
    let none = matches!(test, Test::Ne(_) | Test::NotIn(_) | Test::Exists(false));
    sql.push(if none { "NOT EXISTS" } else { "EXISTS" }).push(" (SELECT 1 FROM json_each(");
    if sql.is_postgres() {
        // Rows of the older application may hold words that PostgreSQL does not take for JSON.
        sql.push("(CASE WHEN strpos(").push(column).push(", 'NaN') + strpos(").push(column);
        sql.push(", 'Infinity') > 0 THEN regexp_replace(").push(column);
        sql.push(", '([:,\\[] ?)-?(NaN|Infinity)', '\\1null', 'g') ELSE ").push(column).push(" END)::json");
    } else {
        sql.push(column);
    }
    sql.push(") m WHERE m.key = ").bind(name).push(" AND ");
    match test {
        Test::Eq(scalar) | Test::Ne(scalar) => one_of(sql, std::slice::from_ref(scalar)),
        Test::In(scalars) | Test::NotIn(scalars) => one_of(sql, scalars),
        Test::Gt(bound) => compare(sql, " > ", *bound),
        Test::Gte(bound) => compare(sql, " >= ", *bound),
        Test::Lt(bound) => compare(sql, " < ", *bound),
        Test::Lte(bound) => compare(sql, " <= ", *bound),
        Test::Exists(_) => {
            sql.push(if sql.is_postgres() { "json_typeof(m.value) <> 'null'" } else { "m.type <> 'null'" });
        }
    }
    sql.push(")");
}

/// The entry `m` is a number and compares so. The cast stands behind the test of the type.
fn compare(sql: &mut Sql, sign: &str, bound: f64) {
    if sql.is_postgres() {
        sql.push(
            "CASE WHEN json_typeof(m.value) = 'number' AND length(m.value #>> '{}') < 60 \
             AND m.value #>> '{}' !~ '[eE][+-]?[0-9]{3}' THEN (m.value #>> '{}')::float8",
        );
        sql.push(sign).bind(bound).push("::float8");
    } else {
        sql.push("CASE WHEN m.type IN ('integer', 'real') THEN CAST(m.atom AS REAL)").push(sign).bind(bound);
    }
    sql.push(" ELSE FALSE END");
}

/// The entry `m` is one of `scalars`, or a list with a string that is.
fn one_of(sql: &mut Sql, scalars: &[Scalar]) {
    let texts: Vec<&str> = scalars
        .iter()
        .filter_map(|scalar| match scalar {
            Scalar::Text(text) => Some(text.as_str()),
            Scalar::Number(_) | Scalar::Bool(_) => None,
        })
        .collect();
    let postgres = sql.is_postgres();
    sql.push("(FALSE");
    if !texts.is_empty() && postgres {
        sql.push(" OR (json_typeof(m.value) = 'string' AND ").is_any("m.value #>> '{}'", &texts);
        sql.push(
            ") OR CASE json_typeof(m.value) WHEN 'array' THEN EXISTS (SELECT 1 FROM json_array_elements(m.value) i \
             WHERE json_typeof(i.value) = 'string' AND ",
        );
        sql.is_any("i.value #>> '{}'", &texts).push(") ELSE FALSE END");
    } else if !texts.is_empty() {
        sql.push(" OR (m.type = 'text' AND ").is_any("m.atom", &texts);
        sql.push(
            ") OR CASE m.type WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each(m.value) i WHERE i.type = 'text' AND ",
        );
        sql.is_any("i.atom", &texts).push(") ELSE FALSE END");
    }
    for scalar in scalars {
        match scalar {
            Scalar::Text(_) => {}
            Scalar::Number(number) => {
                sql.push(" OR ");
                compare(sql, " = ", *number);
            }
            Scalar::Bool(yes) if postgres => {
                sql.push(if *yes { " OR m.value::text = 'true'" } else { " OR m.value::text = 'false'" });
            }
            Scalar::Bool(yes) => {
                sql.push(if *yes { " OR m.type = 'true'" } else { " OR m.type = 'false'" });
            }
        }
    }
    sql.push(")");
}
