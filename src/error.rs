//! What can go wrong, once, for both edges.
//!
//! An [`Error`] says what happened; its [`Code`] says which kind that is; the
//! code's [`Row`] says how each edge names it. All three are one `match` without
//! a fallback, so a new kind does not compile until every question is answered.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::json::Json;

/// The result of everything that a caller can ask for.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not done. Cloned freely: one failed read may be told to many.
#[derive(Debug, Clone)]
pub enum Error {
    /// No live row of that kind has that id.
    NotFound {
        /// The kind, capitalised: `Document`.
        what: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// Input that breaks a rule, all broken rules at once.
    Invalid(Vec<FieldError>),
    /// A cursor that this list did not make.
    BadCursor {
        /// The argument that held it.
        field: &'static str,
    },
    /// A cursor into a log whose old pages are gone.
    CursorExpired,
    /// Nobody is let in without a key here, or the key that was given is not valid.
    Unauthenticated {
        /// Whether a key was given.
        given: bool,
    },
    /// Who asks may not do this.
    Forbidden {
        /// What was asked for: a field or a route.
        what: String,
        /// The scope that a key for it has, or a greater one.
        scope: &'static str,
    },
    /// The request contradicts what is stored.
    Conflict {
        /// One sentence for the caller.
        detail: String,
    },
    /// A body, a list or a page that is over a configured limit.
    TooLarge {
        /// One sentence that names the limit.
        detail: String,
    },
    /// Something outside the database does not answer now.
    Unavailable {
        /// One sentence for the caller.
        detail: String,
        /// When to ask again.
        retry_after: Option<Duration>,
        /// The job that goes on meanwhile.
        job_id: Option<String>,
    },
    /// The client has asked for more than it may in a while.
    RateLimited {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The request took longer than it may.
    Timeout,
    /// A defect or a broken environment; the cause is for the log only.
    Internal(Arc<anyhow::Error>),
}

/// One broken rule of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Where, from the command's root: `chunks`, 3, `text`.
    pub path: Vec<Step>,
    /// Which rule.
    pub rule: Rule,
}

/// One step of a path into a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field's name in its plain (snake case) spelling.
    Field(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// A rule that a value can break. Names and messages are Pydantic's where it has the rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// The field must be there.
    Missing,
    /// A string of at least so many characters.
    StringTooShort(u64),
    /// A string of at most so many characters.
    StringTooLong(u64),
    /// Must be a string.
    StringType,
    /// A number of at least this.
    GreaterThanEqual(i64),
    /// A number of at most this.
    LessThanEqual(i64),
    /// Must be a whole number, and the text is none.
    IntParsing,
    /// Must be a whole number, and this has a fraction.
    IntFromFloat,
    /// Must be a whole number, and is another type.
    IntType,
    /// Must be a number, and the text is none.
    FloatParsing,
    /// Must be a number, and is another type.
    FloatType,
    /// Must be a finite number, also as f32.
    FiniteNumber,
    /// Must be true or false, and the text is neither.
    BoolParsing,
    /// Must be true or false, and is another type.
    BoolType,
    /// Must be an object.
    DictType,
    /// Must be an array.
    ListType,
    /// A list of at least `min` items that has `actual`.
    TooShort {
        /// The least length.
        min: u64,
        /// The length it has.
        actual: u64,
    },
    /// A list of at most `max` items that has `actual`.
    TooLong {
        /// The greatest length.
        max: u64,
        /// The length it has.
        actual: u64,
    },
    /// The body must be an object.
    ModelAttributesType,
    /// The text is no JSON.
    JsonInvalid {
        /// Byte offset.
        offset: usize,
        /// What was expected.
        reason: String,
    },
    /// Any other rule, in a sentence without the field's name.
    Value(String),
}

impl Rule {
    /// Pydantic's `type` of this error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::StringTooShort(_) => "string_too_short",
            Self::StringTooLong(_) => "string_too_long",
            Self::StringType => "string_type",
            Self::GreaterThanEqual(_) => "greater_than_equal",
            Self::LessThanEqual(_) => "less_than_equal",
            Self::IntParsing => "int_parsing",
            Self::IntFromFloat => "int_from_float",
            Self::IntType => "int_type",
            Self::FloatParsing => "float_parsing",
            Self::FloatType => "float_type",
            Self::FiniteNumber => "finite_number",
            Self::BoolParsing => "bool_parsing",
            Self::BoolType => "bool_type",
            Self::DictType => "dict_type",
            Self::ListType => "list_type",
            Self::TooShort { .. } => "too_short",
            Self::TooLong { .. } => "too_long",
            Self::ModelAttributesType => "model_attributes_type",
            Self::JsonInvalid { .. } => "json_invalid",
            Self::Value(_) => "value_error",
        }
    }

    /// Pydantic's `ctx` of this error, where it has one.
    #[must_use]
    pub fn context(&self) -> Option<Json> {
        let number = |n: &dyn fmt::Display| Json::Number(n.to_string());
        let object = |entries: Vec<(&str, Json)>| {
            Some(Json::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
        };
        let list = || Json::String("List".to_owned());
        match self {
            Self::StringTooShort(min) => object(vec![("min_length", number(min))]),
            Self::StringTooLong(max) => object(vec![("max_length", number(max))]),
            Self::GreaterThanEqual(ge) => object(vec![("ge", number(ge))]),
            Self::LessThanEqual(le) => object(vec![("le", number(le))]),
            Self::TooShort { min, actual } => {
                object(vec![("field_type", list()), ("min_length", number(min)), ("actual_length", number(actual))])
            }
            Self::TooLong { max, actual } => {
                object(vec![("field_type", list()), ("max_length", number(max)), ("actual_length", number(actual))])
            }
            Self::JsonInvalid { reason, .. } => object(vec![("error", Json::String(reason.clone()))]),
            Self::Missing
            | Self::StringType
            | Self::IntParsing
            | Self::IntFromFloat
            | Self::IntType
            | Self::FloatParsing
            | Self::FloatType
            | Self::FiniteNumber
            | Self::BoolParsing
            | Self::BoolType
            | Self::DictType
            | Self::ListType
            | Self::ModelAttributesType
            | Self::Value(_) => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: &u64, one: &'static str, many: &'static str| if *n == 1 { one } else { many };
        match self {
            Self::Missing => f.write_str("Field required"),
            Self::StringTooShort(n) => {
                write!(f, "String should have at least {n} {}", plural(n, "character", "characters"))
            }
            Self::StringTooLong(n) => {
                write!(f, "String should have at most {n} {}", plural(n, "character", "characters"))
            }
            Self::StringType => f.write_str("Input should be a valid string"),
            Self::GreaterThanEqual(n) => write!(f, "Input should be greater than or equal to {n}"),
            Self::LessThanEqual(n) => write!(f, "Input should be less than or equal to {n}"),
            Self::IntParsing => f.write_str("Input should be a valid integer, unable to parse string as an integer"),
            Self::IntFromFloat => f.write_str("Input should be a valid integer, got a number with a fractional part"),
            Self::IntType => f.write_str("Input should be a valid integer"),
            Self::FloatParsing => f.write_str("Input should be a valid number, unable to parse string as a number"),
            Self::FloatType => f.write_str("Input should be a valid number"),
            Self::FiniteNumber => f.write_str("Input should be a finite number"),
            Self::BoolParsing => f.write_str("Input should be a valid boolean, unable to interpret input"),
            Self::BoolType => f.write_str("Input should be a valid boolean"),
            Self::DictType => f.write_str("Input should be a valid dictionary"),
            Self::ListType => f.write_str("Input should be a valid list"),
            Self::TooShort { min, actual } => {
                write!(
                    f,
                    "List should have at least {min} {} after validation, not {actual}",
                    plural(min, "item", "items")
                )
            }
            Self::TooLong { max, actual } => {
                write!(
                    f,
                    "List should have at most {max} {} after validation, not {actual}",
                    plural(max, "item", "items")
                )
            }
            Self::ModelAttributesType => {
                f.write_str("Input should be a valid dictionary or object to extract fields from")
            }
            Self::JsonInvalid { .. } => f.write_str("JSON decode error"),
            Self::Value(sentence) => f.write_str(sentence),
        }
    }
}

impl FieldError {
    /// A broken rule of a field at the command's root.
    #[must_use]
    pub fn new(field: &str, rule: Rule) -> Self {
        Self { path: vec![Step::Field(field.to_owned())], rule }
    }

    /// The same error of a command that is item `index` of the list `field` of another.
    #[must_use]
    pub fn inside(mut self, field: &str, index: usize) -> Self {
        self.path.splice(0..0, [Step::Field(field.to_owned()), Step::Index(index)]);
        self
    }

    /// The path as text: `chunks.3.text`.
    #[must_use]
    pub fn field(&self) -> String {
        let steps: Vec<String> = self
            .path
            .iter()
            .map(|step| match step {
                Step::Field(name) => name.clone(),
                Step::Index(index) => index.to_string(),
            })
            .collect();
        steps.join(".")
    }
}

/// The kind of an error, under a name that never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Input breaks a rule.
    BadUserInput,
    /// A cursor of another list, or none at all.
    BadCursor,
    /// A cursor whose page is gone.
    CursorExpired,
    /// No such row.
    NotFound,
    /// No valid key.
    Unauthenticated,
    /// Who asks may not do this.
    Forbidden,
    /// Contradicts what is stored.
    Conflict,
    /// Over a size limit.
    PayloadTooLarge,
    /// A question whose answer would be too large.
    CostExceeded,
    /// Not now.
    Unavailable,
    /// No such method on this path.
    MethodNotAllowed,
    /// None of the accepted media types is offered.
    NotAcceptable,
    /// The body's media type is not read.
    UnsupportedMediaType,
    /// More than a client may ask in a while.
    RateLimited,
    /// Came too slowly.
    RequestTimeout,
    /// Took too long.
    Timeout,
    /// A defect.
    Internal,
}

/// How the edges show a [`Code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The stable name, in `code` of both edges.
    pub name: &'static str,
    /// The HTTP status on REST.
    pub status: u16,
    /// A title of a few words.
    pub title: &'static str,
}

impl Code {
    /// The one table.
    #[must_use]
    pub const fn row(self) -> Row {
        let (name, status, title) = match self {
            Self::BadUserInput => ("BAD_USER_INPUT", 422, "Invalid input"),
            Self::BadCursor => ("BAD_CURSOR", 422, "Invalid cursor"),
            Self::CursorExpired => ("CURSOR_EXPIRED", 410, "Cursor expired"),
            Self::NotFound => ("NOT_FOUND", 404, "Not found"),
            Self::Unauthenticated => ("UNAUTHENTICATED", 401, "Unauthenticated"),
            Self::Forbidden => ("FORBIDDEN", 403, "Forbidden"),
            Self::Conflict => ("CONFLICT", 409, "Conflict"),
            Self::PayloadTooLarge => ("PAYLOAD_TOO_LARGE", 413, "Payload too large"),
            Self::CostExceeded => ("COST_EXCEEDED", 422, "Too costly"),
            Self::Unavailable => ("UNAVAILABLE", 503, "Unavailable"),
            Self::MethodNotAllowed => ("METHOD_NOT_ALLOWED", 405, "Method not allowed"),
            Self::NotAcceptable => ("NOT_ACCEPTABLE", 406, "Not acceptable"),
            Self::UnsupportedMediaType => ("UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported media type"),
            Self::RateLimited => ("RATE_LIMITED", 429, "Too many requests"),
            Self::RequestTimeout => ("REQUEST_TIMEOUT", 408, "Request timeout"),
            Self::Timeout => ("TIMEOUT", 504, "Timeout"),
            Self::Internal => ("INTERNAL", 500, "Internal server error"),
        };
        Row { name, status, title }
    }
}

impl Error {
    /// Input that breaks one rule of one field.
    #[must_use]
    pub fn invalid(field: &str, rule: Rule) -> Self {
        Self::Invalid(vec![FieldError::new(field, rule)])
    }

    /// Input that breaks a rule told in a sentence.
    #[must_use]
    pub fn invalid_value(field: &str, sentence: impl Into<String>) -> Self {
        Self::invalid(field, Rule::Value(sentence.into()))
    }

    /// A row that is not there.
    #[must_use]
    pub fn not_found(what: &'static str, id: &str) -> Self {
        Self::NotFound { what, id: id.to_owned() }
    }

    /// A contradiction with what is stored.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::Conflict { detail: detail.into() }
    }

    /// A defect, with its cause.
    #[must_use]
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal(Arc::new(cause.into()))
    }

    /// What tells a client of HTTP how to come in (`WWW-Authenticate`, RFC 6750).
    #[must_use]
    pub const fn challenge(&self) -> Option<&'static str> {
        let Self::Unauthenticated { given } = self else { return None };
        Some(if *given { "Bearer error=\"invalid_token\"" } else { "Bearer" })
    }

    /// Which kind this is.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NotFound,
            Self::Invalid(_) => Code::BadUserInput,
            Self::BadCursor { .. } => Code::BadCursor,
            Self::CursorExpired => Code::CursorExpired,
            Self::Unauthenticated { .. } => Code::Unauthenticated,
            Self::Forbidden { .. } => Code::Forbidden,
            Self::Conflict { .. } => Code::Conflict,
            Self::TooLarge { .. } => Code::PayloadTooLarge,
            Self::Unavailable { .. } => Code::Unavailable,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Timeout => Code::Timeout,
            Self::Internal(_) => Code::Internal,
        }
    }
}

/// The sentence for the caller: nothing in it comes from a database, a file system or a target.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { what, .. } => write!(f, "{what} not found"),
            Self::Invalid(fields) => {
                for (i, error) in fields.iter().enumerate() {
                    let gap = if i > 0 { "; " } else { "" };
                    write!(f, "{gap}{}: {}", error.field(), error.rule)?;
                }
                Ok(())
            }
            Self::BadCursor { field } => write!(f, "{field}: not a cursor of this list"),
            Self::CursorExpired => {
                f.write_str("The cursor is too old: read the present state and follow it from there")
            }
            Self::Unauthenticated { given: true } => f.write_str("The API key is not valid"),
            Self::Unauthenticated { given: false } => {
                f.write_str("An API key is needed, as `Authorization: Bearer cd_…`")
            }
            Self::Forbidden { what, scope } => write!(f, "{what} needs an API key of the scope {scope}"),
            Self::Conflict { detail } | Self::TooLarge { detail } | Self::Unavailable { detail, .. } => {
                f.write_str(detail)
            }
            Self::RateLimited { retry_after } => {
                write!(f, "More was asked than one client may: ask again in {} s", retry_after.as_secs())
            }
            Self::Timeout => f.write_str("The request took too long"),
            Self::Internal(_) => f.write_str("Internal Server Error"),
        }
    }
}

impl std::error::Error for Error {}

impl From<sea_orm::DbErr> for Error {
    /// A database error that no rule of `store/` has turned into something better.
    fn from(cause: sea_orm::DbErr) -> Self {
        if matches!(cause, sea_orm::DbErr::ConnectionAcquire(_) | sea_orm::DbErr::Conn(_)) {
            tracing::warn!(error = %cause, "no connection to the database");
            let detail = "The database does not answer".to_owned();
            return Self::Unavailable { detail, retry_after: Some(Duration::from_secs(1)), job_id: None };
        }
        // PostgreSQL has cancelled a statement that took too long.
        if let sea_orm::DbErr::Query(sea_orm::RuntimeErr::SqlxError(told)) = &cause
            && told.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57014")
        {
            return Self::Timeout;
        }
        Self::internal(cause)
    }
}
