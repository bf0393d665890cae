//! The filter language of metadata: Pinecone's, read from JSON.
//!
//! `{"genre": "drama", "year": {"$gte": 1990, "$lt": 2000}}`: fields of one object
//! and operators of one field must all hold; a bare value means `$eq`; only `$and`
//! and `$or` stand where a field may. Types are never coerced (`"1"` is not `1`),
//! numbers are compared as f64, order is for numbers only. A field that is a list
//! of strings matches when any of them does. A missing field (or a null) matches
//! `$ne`, `$nin` and `$exists: false`, and nothing else.

use crate::error::Error;
use crate::error::FieldError;
use crate::error::Result;
use crate::error::Rule;
use crate::error::Step;
use crate::json::Json;

/// How large a filter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How deep `$and` and `$or` may nest.
    pub depth: usize,
    /// How many conditions it may have.
    pub conditions: usize,
    /// How many values all its lists may have together.
    pub values: usize,
    /// How many values one list may have.
    pub list: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: 16, conditions: 256, values: 10_000, list: 10_000 }
    }
}

/// A condition on metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them hold; of none, always.
    All(Vec<Filter>),
    /// At least one of them holds.
    Any(Vec<Filter>),
    /// A field passes a test.
    Field {
        /// The key at the top level of the metadata.
        name: String,
        /// What its value must be.
        test: Test,
    },
}

/// What the value of a field must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `$eq`: it, or an element of it, is this.
    Eq(Scalar),
    /// `$ne`: neither it nor an element of it is this.
    Ne(Scalar),
    /// `$gt`: a number above this.
    Gt(f64),
    /// `$gte`: this number or one above it.
    Gte(f64),
    /// `$lt`: a number below this.
    Lt(f64),
    /// `$lte`: this number or one below it.
    Lte(f64),
    /// `$in`: it, or an element of it, is one of these.
    In(Vec<Scalar>),
    /// `$nin`: neither it nor an element of it is one of these.
    NotIn(Vec<Scalar>),
    /// `$exists`: the field is there, and no null; or it is not.
    Exists(bool),
}

/// A value that fields are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A string.
    Text(String),
    /// A finite number.
    Number(f64),
    /// True or false.
    Bool(bool),
}

impl Scalar {
    /// Whether `value` is this: of the same type, and equal.
    #[must_use]
    pub fn is(&self, value: &Json) -> bool {
        match (self, value) {
            (Self::Text(own), Json::String(text)) => own == text,
            (Self::Number(own), Json::Number(digits)) => digits.parse() == Ok(*own),
            (Self::Bool(own), Json::Bool(bool)) => own == bool,
            (
                Self::Text(_) | Self::Number(_) | Self::Bool(_),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_),
            ) => false,
        }
    }

    /// Whether `value`, or a string in it, is this.
    fn is_in(&self, value: &Json) -> bool {
        match (self, value) {
            (Self::Text(own), Json::Array(items)) => items.iter().any(|item| item.as_str() == Some(own)),
            _ => self.is(value),
        }
    }
}

impl Test {
    /// Whether the value of a field passes; `None` when the field is missing.
    #[must_use]
    pub fn passes(&self, value: Option<&Json>) -> bool {
        let value = value.filter(|value| **value != Json::Null);
        let number = || match value {
            Some(Json::Number(digits)) => digits.parse::<f64>().ok(),
            Some(Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_)) | None => None,
        };
        match self {
            Self::Eq(own) => value.is_some_and(|value| own.is_in(value)),
            Self::Ne(own) => !value.is_some_and(|value| own.is_in(value)),
            Self::Gt(bound) => number().is_some_and(|number| number > *bound),
            Self::Gte(bound) => number().is_some_and(|number| number >= *bound),
            Self::Lt(bound) => number().is_some_and(|number| number < *bound),
            Self::Lte(bound) => number().is_some_and(|number| number <= *bound),
            Self::In(list) => value.is_some_and(|value| list.iter().any(|own| own.is_in(value))),
            Self::NotIn(list) => !value.is_some_and(|value| list.iter().any(|own| own.is_in(value))),
            Self::Exists(there) => value.is_some() == *there,
        }
    }
}

impl Filter {
    /// Reads a filter; `root` is the path of the argument that holds it, for errors.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the place below `root`.
    pub fn parse(root: &[&str], json: &Json) -> Result<Self> {
        Self::parse_within(root, json, Bounds::default())
    }

    /// Reads a filter that may be as large as `bounds` says.
    ///
    /// # Errors
    /// As [`Filter::parse`].
    pub fn parse_within(root: &[&str], json: &Json, bounds: Bounds) -> Result<Self> {
        let path = root.iter().map(|name| Step::Field((*name).to_owned())).collect();
        let mut parser = Parser { path, bounds, conditions: 0, values: 0 };
        parser.object(json, 0)
    }

    /// Whether a metadata object fulfils it.
    #[must_use]
    pub fn matches(&self, metadata: &Json) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(metadata)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(metadata)),
            Self::Field { name, test } => test.passes(metadata.get(name)),
        }
    }

    /// How many conditions it has, empty branches included.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().map(Self::size).sum::<usize>().max(1),
            Self::Field { .. } => 1,
        }
    }

    /// Whether it looks at the field `name`.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().any(|filter| filter.mentions(name)),
            Self::Field { name: own, .. } => own == name,
        }
    }

    /// This and that; what is always true is left out.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(mut own), Self::All(other)) => {
                own.extend(other);
                Self::All(own)
            }
            (Self::All(mut all), one) | (one, Self::All(mut all)) => {
                all.push(one);
                Self::All(all)
            }
            (one, other) => Self::All(vec![one, other]),
        }
    }
}

struct Parser {
    path: Vec<Step>,
    bounds: Bounds,
    conditions: usize,
    values: usize,
}

impl Parser {
    fn refuse(&self, rule: Rule) -> Error {
        Error::Invalid(vec![FieldError { path: self.path.clone(), rule }])
    }

    fn refuse_value(&self, sentence: impl Into<String>) -> Error {
        self.refuse(Rule::Value(sentence.into()))
    }

    /// Goes one step down, and up again.
    fn inside<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.path.push(step);
        let made = read(self)?;
        self.path.pop();
        Ok(made)
    }

    /// An object of fields and of `$and`/`$or`.
    fn object(&mut self, json: &Json, depth: usize) -> Result<Filter> {
        let Json::Object(entries) = json else { return Err(self.refuse(Rule::DictType)) };
        if depth > self.bounds.depth {
            return Err(self.refuse_value(format!("must not nest deeper than {}", self.bounds.depth)));
        }
        let mut all = Vec::new();
        for (key, value) in entries {
            self.inside(Step::Field(key.clone()), |parser| match key.as_str() {
                "$and" => {
                    let filters = parser.branches(value, depth)?;
                    all.push(Filter::All(filters));
                    Ok(())
                }
                "$or" => {
                    let filters = parser.branches(value, depth)?;
                    all.push(Filter::Any(filters));
                    Ok(())
                }
                _ if key.starts_with('$') => Err(parser.refuse_value("is not $and or $or, and no field's name")),
                _ => parser.field(key, value, &mut all),
            })?;
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::All(all) })
    }

    fn branches(&mut self, json: &Json, depth: usize) -> Result<Vec<Filter>> {
        let Json::Array(items) = json else { return Err(self.refuse(Rule::ListType)) };
        if items.is_empty() {
            return Err(self.refuse(Rule::TooShort { min: 1, actual: 0 }));
        }
        let branches = items.iter().enumerate();
        branches.map(|(i, item)| self.inside(Step::Index(i), |parser| parser.object(item, depth + 1))).collect()
    }

    /// The conditions on one field.
    fn field(&mut self, name: &str, json: &Json, all: &mut Vec<Filter>) -> Result<()> {
        if name.contains('\0') {
            return Err(self.refuse_value("must not contain U+0000"));
        }
        let Json::Object(entries) = json else {
            let test = Test::Eq(self.scalar(json)?);
            return self.condition(name, test, all);
        };
        if entries.is_empty() {
            return Err(self.refuse_value("must have an operator"));
        }
        for (operator, operand) in entries {
            self.inside(Step::Field(operator.clone()), |parser| {
                let test = parser.test(operator, operand)?;
                parser.condition(name, test, all)
            })?;
        }
        Ok(())
    }

    fn condition(&mut self, name: &str, test: Test, all: &mut Vec<Filter>) -> Result<()> {
        self.conditions += 1;
        let most = self.bounds.conditions;
        if self.conditions > most {
            return Err(self.refuse_value(format!("a filter must not have more than {most} conditions")));
        }
        all.push(Filter::Field { name: name.to_owned(), test });
        Ok(())
    }

    fn test(&mut self, operator: &str, operand: &Json) -> Result<Test> {
        Ok(match operator {
            "$eq" => Test::Eq(self.scalar(operand)?),
            "$ne" => Test::Ne(self.scalar(operand)?),
            "$gt" => Test::Gt(self.number(operand)?),
            "$gte" => Test::Gte(self.number(operand)?),
            "$lt" => Test::Lt(self.number(operand)?),
            "$lte" => Test::Lte(self.number(operand)?),
            "$in" => Test::In(self.list(operand)?),
            "$nin" => Test::NotIn(self.list(operand)?),
            "$exists" => match operand {
                Json::Bool(there) => Test::Exists(*there),
                Json::Null | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
                    return Err(self.refuse(Rule::BoolType));
                }
            },
            _ => {
                return Err(self.refuse_value(
                    "is not an operator: $eq $ne $gt $gte $lt $lte $in $nin $exists stand below a field",
                ));
            }
        })
    }

    fn scalar(&self, json: &Json) -> Result<Scalar> {
        match json {
            Json::String(text) if text.contains('\0') => Err(self.refuse_value("must not contain U+0000")),
            Json::String(text) => Ok(Scalar::Text(text.clone())),
            Json::Number(_) => self.number(json).map(Scalar::Number),
            Json::Bool(bool) => Ok(Scalar::Bool(*bool)),
            Json::Null | Json::Array(_) | Json::Object(_) => {
                Err(self.refuse_value("must be a string, a number or a boolean"))
            }
        }
    }

    fn number(&self, json: &Json) -> Result<f64> {
        let Json::Number(digits) = json else { return Err(self.refuse(Rule::FloatType)) };
        match digits.parse::<f64>() {
            // `-0` and `0` are one number.
            Ok(number) if number.is_finite() => Ok(number + 0.0),
            Ok(_) | Err(_) => Err(self.refuse(Rule::FiniteNumber)),
        }
    }

    fn list(&mut self, json: &Json) -> Result<Vec<Scalar>> {
        let Json::Array(items) = json else { return Err(self.refuse(Rule::ListType)) };
        self.values += items.len();
        let Bounds { values, list, .. } = self.bounds;
        if items.len() > list {
            return Err(self.refuse_value(format!("a list of a filter must not have more than {list} values")));
        }
        if self.values > values {
            return Err(self.refuse_value(format!("the lists of a filter must not have more than {values} values")));
        }
        let items = items.iter().enumerate().map(|(i, item)| {
            self.inside(Step::Index(i), |parser| match item {
                Json::String(_) | Json::Number(_) => parser.scalar(item),
                Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {
                    Err(parser.refuse_value("must be a string or a number"))
                }
            })
        });
        items.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Literals;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes(), Literals::Strict).unwrap()
    }

    fn parse(text: &str) -> Result<Filter> {
        Filter::parse(&["metadata"], &json(text))
    }

    #[test]
    fn conditions_match_as_in_pinecone() {
        let metadata = json(
            r#"{"genre": "drama", "year": 1994, "price": 1e1, "new": true, "tags": ["a", "b"], "gone": null, "empty": []}"#,
        );
        for (filter, matches) in [
            ("{}", true),
            (r#"{"genre": "drama"}"#, true),
            (r#"{"genre": {"$eq": "Drama"}}"#, false),
            (r#"{"genre": "drama", "year": 1995}"#, false),
            (r#"{"price": 10}"#, true),
            (r#"{"price": "10"}"#, false),
            (r#"{"new": true}"#, true),
            (r#"{"new": {"$ne": true}}"#, false),
            (r#"{"new": 1}"#, false),
            (r#"{"year": {"$gte": 1994, "$lt": 1994.5}}"#, true),
            (r#"{"year": {"$gt": 1994}}"#, false),
            (r#"{"year": {"$lte": 1993}}"#, false),
            (r#"{"genre": {"$gt": 1}}"#, false),
            (r#"{"missing": {"$lt": 1}}"#, false),
            (r#"{"tags": "a"}"#, true),
            (r#"{"tags": {"$in": ["x", "b"]}}"#, true),
            (r#"{"tags": {"$nin": ["x", "b"]}}"#, false),
            (r#"{"tags": {"$ne": "b"}}"#, false),
            (r#"{"tags": {"$ne": "c"}}"#, true),
            (r#"{"empty": {"$exists": true}}"#, true),
            (r#"{"empty": {"$nin": ["a"]}}"#, true),
            (r#"{"genre": {"$in": []}}"#, false),
            (r#"{"genre": {"$nin": []}}"#, true),
            (r#"{"missing": {"$ne": 1}}"#, true),
            (r#"{"missing": {"$nin": ["a", 1]}}"#, true),
            (r#"{"missing": {"$in": ["a", 1]}}"#, false),
            (r#"{"missing": {"$exists": false}}"#, true),
            (r#"{"gone": {"$exists": true}}"#, false),
            (r#"{"$or": [{"genre": "comedy"}, {"year": 1994}]}"#, true),
            (r#"{"$and": [{"genre": "comedy"}, {"year": 1994}]}"#, false),
            (r#"{"$or": [{"$and": [{"new": false}]}, {"tags": "z"}]}"#, false),
        ] {
            assert_eq!(parse(filter).map(|filter| filter.matches(&metadata)).ok(), Some(matches), "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_place() {
        for (filter, place) in [
            ("[]", "metadata"),
            ("3", "metadata"),
            (r#"{"$not": {}}"#, "metadata.$not"),
            (r#"{"$gt": 3}"#, "metadata.$gt"),
            (r#"{"a": null}"#, "metadata.a"),
            (r#"{"a": ["x"]}"#, "metadata.a"),
            (r#"{"a": {}}"#, "metadata.a"),
            (r#"{"a": {"b": 1}}"#, "metadata.a.b"),
            (r#"{"a": {"$eq": null}}"#, "metadata.a.$eq"),
            (r#"{"a": {"$gt": "2020"}}"#, "metadata.a.$gt"),
            (r#"{"a": {"$gt": 1e400}}"#, "metadata.a.$gt"),
            (r#"{"a": {"$in": "x"}}"#, "metadata.a.$in"),
            (r#"{"a": {"$in": ["x", true]}}"#, "metadata.a.$in.1"),
            (r#"{"a": {"$exists": 1}}"#, "metadata.a.$exists"),
            (r#"{"a": {"$regex": "x"}}"#, "metadata.a.$regex"),
            (r#"{"$and": []}"#, "metadata.$and"),
            (r#"{"$and": {}}"#, "metadata.$and"),
            (r#"{"$or": [{"a": 1}, 3]}"#, "metadata.$or.1"),
            (r#"{"$or": [{"a": 1}, {"b": {"$x": 1}}]}"#, "metadata.$or.1.b.$x"),
            (r#"{"a": "\u0000"}"#, "metadata.a"),
        ] {
            let Err(Error::Invalid(errors)) = parse(filter) else { panic!("{filter} was read") };
            assert_eq!(errors[0].field(), place, "{filter}");
        }
    }

    #[test]
    fn a_filter_has_limits() {
        let deep = format!("{}{{\"a\":1}}{}", "{\"$and\":[".repeat(20), "]}".repeat(20));
        let wide = format!("{{\"$or\":[{}]}}", vec!["{\"a\":1}"; 257].join(","));
        let long = format!("{{\"a\":{{\"$in\":[{}]}}}}", vec!["1"; 10_001].join(","));
        for filter in [deep, wide, long] {
            assert!(matches!(parse(&filter), Err(Error::Invalid(_))));
        }
    }
}
