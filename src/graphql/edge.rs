//! What every transport does with a request: judge the document, execute it, dress the answer.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Name;
use async_graphql::Request;
use async_graphql::Response;
use async_graphql::ServerError;
use async_graphql::Value;
use async_graphql::Variables;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::types::OperationType;
use futures_util::Stream;
use futures_util::StreamExt as _;

use crate::app::App;
use crate::credentials::Credentials;
use crate::error::Code;
use crate::error::Error;
use crate::graphql::Schema;
use crate::graphql::access;
use crate::graphql::cost;
use crate::graphql::error;
use crate::graphql::guard;
use crate::graphql::guard::Flaw;
use crate::graphql::http::refused;
use crate::graphql::persisted::Persisted;
use crate::graphql::schema;
use crate::parsing;
use crate::service::Ctx;

/// How often a query is asked again whose rows were deleted under it.
const TRIES: u32 = 4;
/// Bytes that one value counts as, where it is asked how much there is to look through.
const VALUE_BYTES: u64 = 4;

/// A request whose document was judged.
#[derive(Debug)]
pub struct Prepared {
    request: Request,
    kind: Option<OperationType>,
    /// How much there is to look through.
    bytes: usize,
    /// What its operation costs, and may cost.
    cost: Charge,
}

/// What an operation costs, and may cost.
#[derive(Debug, Clone, Copy)]
struct Charge {
    points: u64,
    most: u64,
}

impl Prepared {
    /// The kind of the operation that will be executed, when that is clear.
    #[must_use]
    pub const fn kind(&self) -> Option<OperationType> {
        self.kind
    }

    /// What the operation was reckoned to cost.
    #[must_use]
    pub const fn points(&self) -> u64 {
        self.cost.points
    }
}

/// The schema and what it is executed over.
#[derive(Clone)]
pub struct Edge {
    schema: Schema,
    persisted: Arc<Persisted>,
    cx: Ctx,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edge")
    }
}

impl Edge {
    /// The schema over `app`.
    #[must_use]
    pub fn new(app: &App) -> Self {
        let cx = app.cx().clone();
        let persisted = Arc::new(Persisted::new(&cx.config().persisted));
        Self { schema: schema(&cx.config().server), persisted, cx }
    }

    /// The context that requests get theirs from.
    #[must_use]
    pub const fn cx(&self) -> &Ctx {
        &self.cx
    }

    /// The same edge for one who came with these credentials.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], or [`Error::Unavailable`] when the database does not say.
    pub async fn admit(&self, credentials: &Credentials) -> Result<Self, Error> {
        let cx = self.cx.admit(credentials).await?;
        Ok(Self { cx, ..self.clone() })
    }

    /// Parses the document of a request that came in so many bytes, and refuses one that costs too much to look at, or
    /// asks for what the one who came with it may not.
    ///
    /// # Errors
    /// What the document's name says, then `GRAPHQL_PARSE_FAILED`, `GRAPHQL_VALIDATION_FAILED`, `FORBIDDEN` or
    /// `COST_EXCEEDED`.
    pub fn prepare(&self, request: Request, bytes: usize) -> Result<Prepared, ServerError> {
        let judged = self.judge(request, bytes);
        if let Err(error) = &judged {
            self.cx().metrics().operation("none", error::code(error).unwrap_or_default());
        }
        judged
    }

    fn judge(&self, mut request: Request, bytes: usize) -> Result<Prepared, ServerError> {
        let (limits, server) = (&self.cx().config().limits, &self.cx().config().server);
        let keep = self.persisted.resolve(&mut request)?;
        guard::text::check(&request.query, &limits.graphql).map_err(|flaw| flaw.told(error::PARSE_FAILED))?;
        let variables = std::mem::take(&mut request.variables);
        let name = request.operation_name.clone();
        let document = request.parsed_query().map_err(|cause| error::coded(cause, error::PARSE_FAILED))?;
        guard::document::check(document, &limits.graphql).map_err(|flaw| flaw.told(error::VALIDATION_FAILED))?;
        access::check(self.cx.principal(), document, name.as_deref(), &variables)
            .map_err(|refusal| error::coded(ServerError::new(refusal.to_string(), None), refusal.code().row().name))?;
        if !server.introspection()
            && let Some(place) = guard::document::introspects(document)
        {
            let message = "This server does not tell its schema".to_owned();
            return Err(Flaw::new(message, Some(place)).told(error::VALIDATION_FAILED));
        }
        let cost = cost::check(document, name.as_deref(), &variables, limits)
            .map_err(|flaw| flaw.told(Code::CostExceeded.row().name))?;
        let kind = kind(document, name.as_deref());
        self.persisted.keep(keep, &request.query);
        request.variables = variables;
        // What a variable holds is looked through wherever it is used.
        let bytes = bytes.max(usize::try_from(cost.values.saturating_mul(VALUE_BYTES)).unwrap_or(usize::MAX));
        Ok(Prepared { request, kind, bytes, cost: Charge { points: cost.points, most: limits.graphql.cost } })
    }

    /// Executes a prepared query or mutation.
    ///
    /// A query reads level by level: what one level found may be deleted before the next. No query fails for a
    /// name that it asked for and is not there, so that a row that is missing was deleted meanwhile, and the query
    /// is asked again.
    pub async fn execute(&self, prepared: Prepared) -> Response {
        let Prepared { request, kind, bytes, cost } = prepared;
        let cx = self.cx().for_request();
        let query = request.query.clone();
        let work = self.tried(request, bytes, &cx);
        let response = cx.deadline().within(cx.config().server.timeout, work).await;
        let response = response.unwrap_or_else(|_| late(kind, cx.config().server.timeout));
        counted(dressed(response, &query, &cx, cost), kind, &cx)
    }

    async fn tried(&self, mut request: Request, bytes: usize, cx: &Ctx) -> Response {
        let mut again = Again::of(&mut request);
        let mut response = self.attempt(request.data(cx.clone()), bytes).await;
        while response.errors.iter().any(vanished)
            && let Some(request) = again.as_mut().and_then(Again::next)
        {
            response = self.attempt(request.data(cx.clone()), bytes).await;
        }
        response
    }

    async fn attempt(&self, request: Request, bytes: usize) -> Response {
        let schema = self.schema.clone();
        let work = async move { schema.execute(request).await };
        parsing::begin(bytes, Box::pin(work)).await.unwrap_or_else(unread)
    }

    /// Executes a prepared subscription, which has no end of its own: an answer for each event.
    pub fn stream(&self, prepared: Prepared) -> impl Stream<Item = Response> + Send + 'static {
        let Prepared { request, kind, bytes, cost } = prepared;
        let cx = self.cx().for_request();
        let query = request.query.clone();
        let answers = self.schema.execute_stream(request.data(cx.clone()));
        parsing::begin_stream(bytes, answers, unread)
            .map(move |response| counted(dressed(response, &query, &cx, cost), kind, &cx))
    }
}

/// The kind of the operation of that name, or of the only one.
fn kind(document: &ExecutableDocument, name: Option<&str>) -> Option<OperationType> {
    let mut operations = document.operations.iter();
    let operation = match name {
        Some(name) => operations.find(|(own, _)| own.is_some_and(|own| own.as_str() == name)),
        None => operations.next(),
    };
    operation.map(|(_, operation)| operation.node.ty)
}

/// The answer to an operation whose time is over.
fn late(kind: Option<OperationType>, limit: Duration) -> Response {
    let seconds = limit.as_secs_f64();
    let changed =
        if kind == Some(OperationType::Mutation) { "; what it changes may be changed all the same" } else { "" };
    let message = format!("The operation took longer than {seconds} s and was given up{changed}");
    Response::from_errors(vec![refused(Code::Timeout, message, None)])
}

/// The answer to a request that could not be looked at.
#[expect(clippy::needless_pass_by_value, reason = "the error ends here")]
fn unread(error: Error) -> Response {
    tracing::error!(cause = ?error, "reading a request");
    Response::from_errors(vec![refused(Code::Internal, Code::Internal.row().title.to_owned(), None)])
}

/// A query that can be asked again.
struct Again {
    document: ExecutableDocument,
    operation: Option<String>,
    variables: Variables,
    tries: u32,
}

impl Again {
    /// Nothing where the request is, or may be, a mutation.
    fn of(request: &mut Request) -> Option<Self> {
        let document = request.parsed_query().ok()?.clone();
        let mutates = document.operations.iter().any(|(_, operation)| operation.node.ty != OperationType::Query);
        let (operation, variables) = (request.operation_name.clone(), request.variables.clone());
        (!mutates).then_some(Self { document, operation, variables, tries: TRIES })
    }

    fn next(&mut self) -> Option<Request> {
        self.tries = self.tries.checked_sub(1)?;
        let mut request = Request::new("").variables(self.variables.clone());
        request.operation_name.clone_from(&self.operation);
        request.set_parsed_query(self.document.clone());
        Some(request)
    }
}

/// Whether a row was gone that a level above had found.
fn vanished(error: &ServerError) -> bool {
    let ours = error.source.as_ref().and_then(|source| source.downcast_ref::<Error>());
    matches!(ours, Some(Error::NotFound { .. }))
}

/// Notes that an operation was answered.
fn counted(response: Response, kind: Option<OperationType>, cx: &Ctx) -> Response {
    let kind = match kind {
        Some(OperationType::Query) => "query",
        Some(OperationType::Mutation) => "mutation",
        Some(OperationType::Subscription) => "subscription",
        None => "none",
    };
    let code = response.errors.first().map(|error| error::code(error).unwrap_or_default());
    cx.metrics().operation(kind, code.unwrap_or("OK"));
    response
}

/// Gives an answer its final errors and extensions.
fn dressed(mut response: Response, query: &str, cx: &Ctx, cost: Charge) -> Response {
    error::at_most(&mut response.errors, cx.config().limits.graphql.errors);
    error::dress(&mut response.errors, query);
    if !cx.config().server.suggestions() {
        error::forget_suggestions(&mut response.errors);
    }
    if let Some(revision) = cx.committed() {
        response.extensions.insert("corpusRevision".to_owned(), revision.to_string().into());
    }
    let cost = [("requested", cost.points), ("limit", cost.most)].map(|(name, count)| (Name::new(name), count.into()));
    response.extensions.insert("cost".to_owned(), Value::Object(IndexMap::from(cost)));
    response
}
